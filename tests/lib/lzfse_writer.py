# SPDX-License-Identifier: Apache-2.0
"""Streams of ADC, LZVN and LZFSE: encoders that are simple, not good. A code of states is made here as a decoder makes
it, and encoded by looking for the state that leads to the next one.
"""

import struct

END = b"bvx$"
COUNT_STATES, DISTANCE_STATES, LITERAL_STATES = 64, 256, 1024
COUNT_BITS = [0] * 16 + [2, 3, 5, 8]
MATCH_BITS = [0] * 16 + [3, 5, 8, 11]
DISTANCE_BITS = [i // 4 for i in range(64)]


def sequences(data, reach, longest, shortest=4, literals_max=1 << 30):
    """(literals, match length, distance) of some bytes: greedy, by the last place that begins alike. The last one may
    have no match.
    """
    seen, start, at = {}, 0, 0
    while at < len(data):
        key = data[at:at + shortest]
        before = seen.get(key)
        seen[key] = at
        length = 0
        if before is not None and at - before <= reach and len(key) == shortest:
            while length < longest and at + length < len(data) and data[before + length] == data[at + length]:
                length += 1
        if length >= shortest:
            yield data[start:at], length, at - before
            at += length
            start = at
        else:
            at += 1
            if at - start == literals_max:
                yield data[start:at], 0, 0
                start = at
    if start < at:
        yield data[start:at], 0, 0


def adc(data, plain=False):
    """Literals of 128 bytes at most, matches of both kinds."""
    stream = b""
    for literals, length, distance in (sequences(data, 65536, 67) if not plain else [(data, 0, 0)]):
        for i in range(0, len(literals), 128):
            part = literals[i:i + 128]
            stream += bytes([0x80 | len(part) - 1]) + part
        if length and length <= 18 and distance <= 1024:
            stream += bytes([length - 3 << 2 | distance - 1 >> 8, distance - 1 & 255])
        elif length:
            stream += bytes([0x40 | length - 4]) + struct.pack(">H", distance - 1)
    return stream


# The longest match of an operation with so many literals: what would be longer is another operation.
MATCH_MAX = [10, 8, 6, 4]


def lzvn(data):
    """One block, with operations of all kinds."""
    stream, last = b"", 0
    for literals, length, distance in sequences(data, 65535, 271, literals_max=271):
        if len(literals) > 15:
            stream += bytes([0xe0, len(literals) - 16]) + literals
            literals = b""
        elif len(literals) > 3:
            stream += bytes([0xe0 | len(literals)]) + literals
            literals = b""
        first = min(length, MATCH_MAX[len(literals)])
        if not length:
            stream += (bytes([0xe0 | len(literals)]) if literals else b"") + literals
        elif distance == last and not literals:
            first = 0
        elif distance == last:
            stream += bytes([len(literals) << 6 | first - 3 << 3 | 6]) + literals
        elif distance < 1536 and length <= 10:
            stream += bytes([len(literals) << 6 | first - 3 << 3 | distance >> 8, distance & 255]) + literals
        elif distance < 16384:
            first = min(length, 34)
            stream += bytes([0xa0 | len(literals) << 3 | first - 3 >> 2, distance << 2 & 255 | first - 3 & 3,
                             distance >> 6]) + literals
        else:
            stream += bytes([len(literals) << 6 | first - 3 << 3 | 7]) + struct.pack("<H", distance) + literals
        last = distance or last
        left = length - first if length else 0
        while left > 0:  # as far back as before
            part = min(left, 271)
            stream += bytes([0xf0, part - 16]) if part > 15 else bytes([0xf0 | part])
            left -= part
    return stream + b"\x06" + bytes(7)


def lzvn_block(data):
    payload = lzvn(data)
    return b"bvxn" + struct.pack("<II", len(data), len(payload)) + payload


def plain_block(data):
    return b"bvx-" + struct.pack("<I", len(data)) + data


def frequencies(symbols, symbol_count, states):
    """Frequencies of `states` in all; whatever occurs has one."""
    counts = [0] * symbol_count
    for symbol in symbols:
        counts[symbol] += 1
    total = max(len(symbols), 1)
    result = [max(count * states // total, 1) if count else 0 for count in counts]
    while sum(result) > states:
        result[result.index(max(result))] -= 1
    most = result.index(max(result))
    result[most] += states - sum(result)
    return result


def state_table(weights, states):
    """(symbol, bits, next state) of each state."""
    table = []
    for symbol, weight in enumerate(weights):
        if weight == 0:
            continue
        bits = 0
        while weight << bits < states:
            bits += 1
        longer = (2 * states >> bits) - weight if weight << bits != states else weight
        for i in range(weight):
            if i < longer:
                table.append((symbol, bits, (weight + i << bits) - states))
            else:
                table.append((symbol, bits - 1, i - longer << bits - 1))
    return table


class Encoder:
    """A code. Encoding goes backwards."""

    def __init__(self, symbols, extra_bits, states):
        self.weights = frequencies(symbols, len(extra_bits), states)
        self.extra_bits = extra_bits
        self.by_symbol = {}
        for state, (symbol, bits, following) in enumerate(state_table(self.weights, states)):
            self.by_symbol.setdefault(symbol, []).append((state, bits, following))

    def encode(self, writer, symbol, extra, following):
        """The state in which the symbol is read, and that leads to the state `following`."""
        for state, bits, first in self.by_symbol[symbol]:
            if first <= following < first + (1 << bits):
                writer.put((following - first) << self.extra_bits[symbol] | extra, bits + self.extra_bits[symbol])
                return state
        raise ValueError("a state that nothing leads to")


class BitWriter:
    def __init__(self):
        self.value = 0
        self.count = 0

    def put(self, value, count):
        self.value |= value << self.count
        self.count += count

    def finish(self):
        """The bytes, and how many bits of the last one are not used."""
        length = (self.count + 7) // 8
        return self.value.to_bytes(length, "little"), 8 * length - self.count


def symbol_of(value, extra_bits):
    base = 0
    for symbol, bits in enumerate(extra_bits):
        if value < base + (1 << bits):
            return symbol, value - base
        base += 1 << bits
    raise ValueError(value)


def frequency_bits(weight):
    """As it stands in a block's head: value and number of bits."""
    short = {0: (0, 2), 1: (2, 2), 2: (1, 3), 3: (5, 3), 4: (3, 5), 5: (11, 5), 6: (19, 5), 7: (27, 5)}
    if weight in short:
        return short[weight]
    return ((weight - 8) << 4 | 7, 8) if weight < 24 else ((weight - 24) << 4 | 15, 14)


def coded_block(data, is_plain=False):
    """A block of the kind "bvx2" of all the data, which is not too much; or of the kind "bvx1", with a plain head."""
    literals, triples, last = b"", [], 0
    for part, length, distance in sequences(data, 200000, 2359):
        while len(part) > 315:
            triples.append((315, 0, last or 1))
            literals, part = literals + part[:315], part[315:]
        literals += part
        own = distance or 1
        triples.append((len(part), length, 0 if own == last else own))
        last = own
    literals += bytes(-len(literals) % 4)
    if len(literals) > 40000 or len(triples) > 10000:
        raise ValueError("too much for a block")
    columns = [[symbol_of(triple[i], bits) for triple in triples]
               for i, bits in enumerate((COUNT_BITS, MATCH_BITS, DISTANCE_BITS))]
    codes = [Encoder([symbol for symbol, _ in column], bits, states) for column, bits, states in
             zip(columns, (COUNT_BITS, MATCH_BITS, DISTANCE_BITS), (COUNT_STATES, COUNT_STATES, DISTANCE_STATES))]
    literal_code = Encoder(list(literals), [0] * 256, LITERAL_STATES)
    literal_writer, literal_states = BitWriter(), [0] * 4
    for i in range(len(literals) - 1, -1, -1):
        literal_states[i % 4] = literal_code.encode(literal_writer, literals[i], 0, literal_states[i % 4])
    writer, states = BitWriter(), [0, 0, 0]
    for i in range(len(triples) - 1, -1, -1):
        for column in (2, 1, 0):
            states[column] = codes[column].encode(writer, *columns[column][i], states[column])
    literal_bytes, literal_unused = literal_writer.finish()
    triple_bytes, triple_unused = writer.finish()
    if is_plain:
        sizes = (len(data), len(literal_bytes) + len(triple_bytes), len(literals), len(triples), len(literal_bytes), len(triple_bytes))
        head = struct.pack("<6Ii4Hi3H", *sizes, -literal_unused, *literal_states, -triple_unused, *states)
        weights = [weight for code in (*codes, literal_code) for weight in code.weights]
        head += struct.pack(f"<{len(weights)}H", *weights)
        return b"bvx1" + head + bytes(768 - len(head)) + literal_bytes + triple_bytes
    tables = BitWriter()
    for code in (*codes, literal_code):
        for weight in code.weights:
            tables.put(*frequency_bits(weight))
    table_bytes = tables.finish()[0]
    first = len(literals) | len(literal_bytes) << 20 | len(triples) << 40 | 7 - literal_unused << 60
    second = sum(state << 10 * i for i, state in enumerate(literal_states)) | len(triple_bytes) << 40 | 7 - triple_unused << 60
    third = 32 + len(table_bytes) | states[0] << 32 | states[1] << 42 | states[2] << 52
    return (b"bvx2" + struct.pack("<IQQQ", len(data), first, second, third) + table_bytes + literal_bytes + triple_bytes)


def lzfse(data, kinds="2n-", part_len=30000):
    """A stream whose blocks are of the kinds in turn."""
    makers = {"1": lambda part: coded_block(part, is_plain=True), "2": coded_block, "n": lzvn_block, "-": plain_block}
    stream = b""
    for i, start in enumerate(range(0, len(data), part_len)):
        stream += makers[kinds[i % len(kinds)]](data[start:start + part_len])
    return stream + END
