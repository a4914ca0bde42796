# SPDX-License-Identifier: Apache-2.0
"""What a crash may leave of files, by the record of what was asked of them (tests/native/native_record.c).

A write is safe when a flush of its file, submitted after the write was reported as done, has been reported as done itself.
Of all others, any part may be in the file: a state is what is safe, and of the rest all, nothing, or a random part. Where two
writes overlap, the later one wins, as caches have it; two that overlap while both are under way are an error by themselves.
"""

import dataclasses
import os

CHANGES = ("write", "zero", "length")


@dataclasses.dataclass
class Event:
    kind: str
    id: int
    device: int
    off: int = 0  # of a length: the length
    len: int = 0
    data: bytes = b""
    is_done: bool = False

    def play(self, content):
        if self.kind == "length":
            del content[self.off:]
            content.extend(bytes(self.off - len(content)))
            return
        end = self.off + self.len
        content.extend(bytes(max(0, end - len(content))))
        content[self.off:end] = self.data if self.kind == "write" else bytes(self.len)

    def overlaps(self, other):
        return self.device == other.device and self.off < other.off + other.len and other.off < self.off + self.len


def read_record(path):
    """(names by device, events)"""
    names, events = {}, []
    with open(path, "rb") as file:
        while line := file.readline():
            kind, *words = os.fsdecode(line).rstrip("\n").split(" ", 2 if line.startswith(b"file ") else -1)
            if kind == "file":
                names[int(words[0])] = words[1]
            elif kind == "done":
                events.append(Event(kind, int(words[0]), -1))
            else:
                event = Event(kind, *(int(word) for word in words))
                event.data = file.read(event.len) if kind == "write" else b""
                events.append(event)
    return names, events


class Disk:
    """Files while the events of a record go by: what is safe, and which changes are not yet."""

    def __init__(self, names, before):
        self.names = names
        self.safe = {name: bytearray(content) for name, content in before.items()}
        self.unsafe, self.under_way, self.flushes = [], {}, {}

    def happen(self, event):
        if event.kind in CHANGES:
            for other in self.under_way.values():
                if event.kind != "length" and other.kind != "length" and event.overlaps(other):
                    raise RuntimeError(f"two writes that overlap at {event.off:#x} are under way")
            self.under_way[event.id] = event
            self.unsafe.append(event)
        elif event.kind == "flush":
            self.flushes[event.id] = [change for change in self.unsafe if change.device == event.device and change.is_done]
        elif event.id in self.flushes:
            flushed = self.flushes.pop(event.id)
            for change in flushed:
                change.play(self.safe[self.names[change.device]])
            self.unsafe = [change for change in self.unsafe if not any(change is other for other in flushed)]
        elif event.id in self.under_way:
            self.under_way.pop(event.id).is_done = True

    def state(self, kept):
        """The content of the files, with a part of the changes that are not safe."""
        found = {name: bytearray(content) for name, content in self.safe.items()}
        for change in kept:
            change.play(found[self.names[change.device]])
        return found


def parts(dice, unsafe):
    """Some parts of the changes that are not safe, each with what to call it."""
    yield "all", unsafe
    yield "none", []
    if len(unsafe) > 1:
        yield "only the last", unsafe[-1:]
        left_out = dice.randrange(len(unsafe))
        yield f"all but the one of number {left_out}", unsafe[:left_out] + unsafe[left_out + 1:]
        yield "a part", [change for change in unsafe if dice.random() < 0.5]


def states(path, before, dice, count):
    """
    `count` states that a crash may leave, as (what it is, content by name), at random moments and at the end. Before: the
    content of the files before the job, by the names that the record has.
    """
    names, events = read_record(path)
    moments = [index for index, event in enumerate(events) if event.kind in CHANGES]
    if not moments:
        raise RuntimeError("nothing was written")
    # Each moment has several parts of what is not safe; one of them is taken, so that there are more moments.
    chosen = sorted(dice.choices(moments, k=count - 1)) + [len(events) - 1]
    disk = Disk(names, before)
    for index, event in enumerate(events):
        disk.happen(event)
        for _ in range(chosen.count(index)):
            what, kept = dice.choice(list(parts(dice, disk.unsafe)))
            yield f"event {index} of {len(events)}, of {len(disk.unsafe)} changes that are not safe {what}", disk.state(kept)
