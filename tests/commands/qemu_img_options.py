# SPDX-License-Identifier: Apache-2.0
"""Options, operands and errors of qemu-img's commands, and the two names of the program.

Where a case is in the same words, what both programs print on standard error is compared, too.
"""

import json
import re

from lib import daily, images, recipes
from lib.python_tests import test
from lib.suite import Failure

MIB = 1 << 20
REFERENCE = "/usr/bin/qemu-img"

# What ends alike, with the same words on both streams.
SAME_WORDS = """
|foo|-x|--foo|-T
info|info -x|info --nope|info -f|info --output|info --output=xml image|info image image
info a:b|info -f foo image|info --image-opts -f raw image|info --image-opts driver=qcow2|info -f qcow2 raw
info --image-opts filename=image
map|map image image|map -s 9000P image|map --max-length|map -x image
check|check image image|check -r foo image|check -T foo image|check --output foo image|check raw|check -f raw image
compare image|compare image image image|compare -T foo image raw|compare -x
compare -f qcow2 raw image|compare -F qcow2 image raw|compare image raw|compare -s image raw|compare -q image raw
compare image image|compare raw long|compare -s raw long|compare -q raw long|compare -p -q image image
measure|measure image image|measure --size 1 image|measure -f raw|measure -f raw --size 1|measure -l x --size 1
measure --image-opts --size 1|measure --size 9000P|measure -o ,|measure -o x, --size 1|measure --output=x --size 1
measure -O foo --size 1|measure -l missing image|convert -l missing image out
convert|convert image|convert -S 1 image out|convert -S 32M image out|convert -m 0 image out|convert -m 17 image out
convert -m x image out|convert -t foo image out|convert -T foo image out|convert -l a image image out
convert --target-is-zero image out|convert --target-image-opts image out|convert --skip-broken-bitmaps image out
convert -n -o size=1 image out|convert -C -S 4k image out|convert -C --salvage image out|convert -o , image out
convert --image-opts -f raw image out|convert -n image short|convert -O raw -c image out|convert -O raw -B x image out
convert -O raw -F qcow2 image out|convert -O qcow2 -B x image out|convert -O qcow2 -B x -F qcow2 image out
convert -O qcow2 -B image -F qcow2 image image out|convert -c -O qcow2 -o preallocation=full image out|convert -O foo image out
convert image missing/|convert -O qcow2 image raw/|dd if=image of=missing/|convert image directory/
convert -O qcow2 -o foo=1 image out|convert -O qcow2 -o lazy_refcounts=x image out|convert image missing/out
convert -o cluster_size=4k image out|convert -o backing_file=x image out
dd|dd if=image|dd of=out|dd if=image of=out foo|dd if=image of=out foo=1|dd if=image of=out bs=0|dd if=image of=out bs=3G
dd if=image of=missing/out|dd --foo if=image of=out|dd if=image of=out count=9E|dd -x if=image of=out
resize|resize image|resize image 1M 2M|resize --image-opts -f raw image 1M|resize --foo image 1M|resize image 1M --shrink
resize image 9E
bench|bench image image|bench -c x image|bench -s 3G image|bench -S 3G image|bench -w --pattern=256 image
bench -w --flush-interval=2 -d 4 image|bench --flush-interval=4 image|bench -t foo image|bench -i foo image
bench -w -U image|bench --foo image|bench -d x image|bench -f raw -w -U raw
snapshot|snapshot image image|snapshot -l -l image|snapshot -l -c x image|snapshot -f qcow2 image
map -s x image|map -s -1 image|map -s 1.5 image|map -l x image|measure --size x|measure --size -1|convert -S x image out
convert -r x image out|convert -n -O qcow2 image raw|convert -C -c -O qcow2 image out|convert -n -O qcow2 -B image image image overlay|info missing|info directory|info file:missing|map missing|measure missing|snapshot -l missing
compare missing raw|compare image missing|convert missing out|map -s 20000P image|info file:|info -f host_device raw
info --image-opts driver=host_device,filename=raw|info -f "" image|info dangling
info --image-opts driver=qcow2,file.filename=missing|info json:{"driver":"raw","file.filename":"directory"}
info --image-opts driver=qcow2,file.filename=image,lazy-refcounts=x
info --image-opts driver=qcow2,file.filename=image,file.locking=x|info --image-opts driver=qcow2,file.filename=image,x=1
info --image-opts driver=qcow2,file.filename=image,file.x=1|info --image-opts driver=qcow2,file.filename=image,discard=x
info --image-opts driver=qcow2,file.filename=image,read-only=x|info --image-opts driver=qcow2,file=image
info --image-opts driver=qcow2,file.filename=image,file.drop-cache=x|info --object secret,id=x image
info --object secret image|info --object {} image
info --object secret,id=x,data=y,format=z image|info --object secret,id=x,file=y,z=1 image|info --object foo,id=x image
info --output=x|map --output=x -s y image|check --output=x -T y image|check -T x image|compare -T x image raw
info --foo=bar image|measure -o foo=1 --size 1|measure -O qcow2 -o foo=1 --size 1
measure -O qcow2 -o lazy_refcounts=x --size 1|measure -O qcow2 -o cluster_size=3 --size 1|snapshot -U image|measure -l x raw
convert -l x raw out|convert -S 20000P image out|convert -T foo image missing/out|compare -F "" file:raw raw|convert -O "" image out|dd bs=9E if=image of=out|convert image directory|dd skip= if=image of=out
dd bs=x if=image of=out|compare --image-opts driver=raw,file.filename=raw driver=x,file.filename=raw
""".replace("\n", "|").split("|")[1:-1]

# What ends alike, with the same standard output.
SAME_OUTPUT = """
info nbd:x:1|info json:x|info json:[]|info json:{"driver":"qcow2"}
info ""|info --image-opts x|info --image-opts driver=qcow2,file.filename=image,x=y|info --object x,id=y image
compare --image-opts -F raw file.filename=image raw
measure -l snapshot.x=1 image
convert -l snapshot.x=1 image out|convert -n image missing
create -q -f host_device out 1M|convert -o x=1 image out|convert -o preallocation=x image out|convert image x:y
convert --bitmaps image out|convert image image
info image|info --output json image|info --out=human image|info -U image|info image -U --output=json
info file:image|info -f raw image|info --image-opts driver=qcow2,file.filename=image
info --image-opts file.filename=image|info --image-opts driver=raw,file.driver=file,file.filename=image
info --image-opts driver=file,filename=image|info --image-opts --output=json driver=file,filename=image
info --image-opts driver=qcow2,force-share=on,file.locking=off,file.filename=image
info --image-opts driver=qcow2,file.filename=with,,comma
info json:{"driver":"qcow2","file":{"driver":"file","filename":"image"}}
info json:{"driver":"qcow2","file.filename":"image"}|info --object secret,id=x,data=y image|info ./image|info -f file image
info --backing-chain image|info --backing-chain --output=json ./overlay|info ./overlay|info overlay --output=json
map image|map --output=json image|map -s 64k image --output=json|map -l 0 --output=json image|map -l 0 image
map -s 1T image|map -s 1T --output=json image|map --start-offset=0x10000 --max-length=100k --output=json image
map -s 1B -l 1.5k --output=json image|map -U overlay|map overlay --output=json|map -f raw image --output=json
map --image-opts driver=file,filename=image --output=json
check image|check -q image|check --output=json image|check -T none image|check -q --output=json image|check -U overlay
compare --image-opts driver=qcow2,file.filename=image driver=raw,file.filename=raw|compare -U image image
compare -T none -f qcow2 -F qcow2 image overlay
measure image|measure -O qcow2 image|measure --size 1.5G|measure --size 0x200 -O qcow2 --output=json
measure -O qcow2 -o cluster_size=4k -o refcount_bits=1,lazy_refcounts --size 1G|measure -O qcow2 -l one image
measure -O qcow2 -l snapshot.id=1,snapshot.name=one image|measure --image-opts -O qcow2 file.filename=image
snapshot -l image|snapshot image|snapshot -q -l -U image|snapshot -l raw|snapshot --image-opts -l file.filename=image
convert -q image out|convert -m 3 -W -r 100M image out|convert -T none -t none image out|convert image overlay out
convert -O host_device image out|convert -O file image out|convert -C image out|convert -S 0 image out
convert -o size=1,preallocation=off image out|convert -n -t directsync image long|convert --salvage image out
convert -n --target-image-opts image driver=raw,file.filename=long|convert -l one image out
convert -l snapshot.name=one image out|convert --image-opts file.filename=image out|convert file:image file:out
measure --size +5|info --image-opts driver=qcow2,file.filename=image,lazy-refcounts=on,l2-cache-size=1M,cache.direct=on
check --image-opts --output=json driver=qcow2,file.filename=image|check --output=json file:image
compare -p missing raw|map --image-opts driver=qcow2,file.filename=image,overlap-check=all,detect-zeroes=on
info json:{"driver":"qcow2","file.filename":"image","l2-cache-size":65536,"cache":{"direct":true,"no-flush":false}}
info --image-opts driver=qcow2,file.filename=image,pass-discard-request=on,file.aio=threads,file.drop-cache=off
""".replace("\n", "|").split("|")[1:-1]


def files_make(directory):
    maker = recipes.Maker(directory)
    maker.create("image", MIB)
    maker.io("image", "write -P 1 0 64k", "write -P 2 192k 100k")
    maker.run(REFERENCE, "snapshot", "-c", "one", "image")
    maker.io("image", "write -P 3 64k 1k")
    maker.create("overlay", None, backing="image")
    maker.io("overlay", "write -P 4 256k 512")
    maker.create("with,comma", "64k")
    for name, length in (("raw", MIB), ("short", 1000), ("long", 2 * MIB)):
        with open(directory / name, "wb") as file:
            file.truncate(length)


def images_make(context):
    recipes.make_once(files_make, context.directory)
    (context.directory / "directory").mkdir(exist_ok=True)
    (context.directory / "dangling").symlink_to("nowhere")


def words(text):
    return [word.replace('""', "") for word in text.split()]


def both(context, case):
    """What both programs do, each to new targets."""
    results = []
    images_make(context)
    # One option more would change what a command without enough words says.
    own = context.qemu_img if case == "resize image" else context.qemu_img_beside
    for program in (REFERENCE, own):
        (context.directory / "out").unlink(missing_ok=True)
        (context.directory / "long").write_bytes(bytes(2 * MIB))
        result = context.run([program, *words(case)])
        content = [(context.directory / name).read_bytes() if (context.directory / name).exists() else None
                   for name in ("out", "long")]
        results.append((result, content))
    (reference, reference_content), (own, own_content) = results
    if own.status != reference.status:
        raise Failure(own.describe(f"exit status {own.status}; qemu-img has {reference.status}") + "\n" +
                      reference.describe("qemu-img:"))
    if own.stdout != reference.stdout:
        raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))
    if own.status == 0 and own_content != reference_content:
        raise Failure(own.describe("the output has another content than qemu-img's"))
    return reference, own


@test(cases=daily.sample("qemu_img_options same_words", SAME_WORDS, 50))
def same_words(context, case):
    reference, own = both(context, case)
    if own.stderr != reference.stderr:
        raise Failure(own.describe("another message") + "\n" + reference.describe("than qemu-img:"))


@test(cases=daily.sample("qemu_img_options same_output", SAME_OUTPUT, 24))
def same_output(context, case):
    reference, own = both(context, case)
    if own.status != 0 and not own.stdout and (not own.stderr.startswith("qemu-img: ") or len(own.stderr.splitlines()) != 1):
        raise Failure(own.describe("not one line of error"))
    if own.status == 0 and own.stderr:
        raise Failure(own.describe("something on standard error"))


@test(cases=["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def only_raw_goes_to_streams(context, case):
    """commands/streams.py has what does."""
    images_make(context)
    done = context.run([context.qemu_img, "convert", "-O", "qcow2", "image", case]).expect(1)
    if done.stdout or "is a FIFO, not a regular file or block device" not in done.stderr:
        raise Failure(done.describe("expected a refusal"))


@test()
def progress(context):
    """As clients read it: from 0 to 100, on standard output, then the end of the line."""
    images_make(context)
    for arguments, end in ((["convert", "-p", "image", "out"], "\n"),
                           (["compare", "-p", "image", "image"], "Images are identical.\n\n")):
        done = context.run([context.qemu_img, *arguments]).expect()
        if not re.fullmatch(r"(    \(\d+\.\d\d/100%\)\r)+" + re.escape(end), done.stdout):
            raise Failure(done.describe("no progress as qemu-img's"))
        numbers = [float(number) for number in re.findall(r"\((\d+\.\d\d)/", done.stdout)]
        if numbers != sorted(numbers) or numbers[0] != 0 or numbers[-1] != 100:
            raise Failure(done.describe("progress goes from 0 to 100"))


@test(cases=["convert -p -f raw -O raw {} out", "convert -p -f raw -O qcow2 {} out", "compare -p -f raw -F raw {} {}"])
def progress_in_a_log(context, case):
    """Not shown more often than by qemu-img, whatever the size, so that logs do not grow; the end always."""
    images.write_islands(context.directory / "small", 3 << 20, [(0, 3 << 20)])
    images.write_islands(context.directory / "large", 40 << 20, [(0, 40 << 20)])
    for name in ("small", "large"):
        arguments = case.format(name, name).split()
        theirs = context.run(["/usr/bin/qemu-img", *arguments]).expect().stdout.count("%")
        done = context.run([context.qemu_img, *arguments]).expect()
        if not 2 <= done.stdout.count("%") <= theirs or "(0.00/100%)" not in done.stdout or "(100.00/100%)" not in done.stdout:
            raise Failure(done.describe(f"{name}: qemu-img shows its progress {theirs} times"))


@test()
def two_names(context):
    """instar's own command and words, and qemu-img's."""
    images_make(context)
    context.copy("raw", "out").expect()
    context.run([context.qemu_img, "copy", "raw", "out"]).expect(1)
    for program in (context.qemu_img, context.build.instar):
        done = context.run([program, "info", "missing"]).expect(1)
        if done.stderr != f"{program.name}: Could not open 'missing': Could not open 'missing': No such file or directory\n":
            raise Failure(done.describe("another error"))
    own = context.run([context.build.instar, "info", "image"]).expect()
    other = context.run([context.qemu_img, "info", "image"]).expect()
    if own.stdout != other.stdout or own.stderr or other.stderr:
        raise Failure(own.describe("the names print different things") + "\n" + other.describe("qemu-img:"))


@test(cases=["info", "map", "bench", "check", "compare", "create", "dd", "measure", "convert", "resize", "snapshot"])
def help_is_shown(context, case):
    for program, arguments in ((context.qemu_img, ["-h"]), (context.qemu_img, ["--help"]),
                               (context.build.instar, ["--help"])):
        done = context.run([program, case, *arguments]).expect()
        if "Usage:" not in done.stdout or done.stderr:
            raise Failure(done.describe("no help"))


# In names of snapshots, backing files and bitmaps.
ODD_NAME = b"line\nfeed\x1b[31m\xff\xe2\x80\xae"
ODD_NAME_SHOWN = "line\\x0afeed\\x1b[31m\\xff\\xe2\\x80\\xae"


def odd_image_make(context):
    """An image whose texts are harmful to a terminal; they take the place of harmless ones of their length."""
    maker = recipes.Maker(context.directory)
    plain = b"S" * len(ODD_NAME)
    maker.run(REFERENCE, "create", "-q", "-u", "-f", "qcow2", "-b", "/" + plain.decode(), "-F", "raw", "image", "1M")
    maker.run(REFERENCE, "bitmap", "--add", "image", plain.decode())
    maker.create("other", "64k")
    maker.run(REFERENCE, "snapshot", "-c", plain.decode(), "other")
    for name in ("image", "other"):
        path = context.directory / name
        path.write_bytes(path.read_bytes().replace(plain, ODD_NAME))


@test()
def odd_names(context):
    odd_image_make(context)
    for name, places in (("image", 2), ("other", 1)):
        done = context.run([context.qemu_img, "info", name]).expect()
        if done.stdout.count(ODD_NAME_SHOWN) != places or re.search(r"[^\x20-\x7e\n]", done.stdout):
            raise Failure(done.describe("harmful text"))
        done = context.run([context.qemu_img, "info", "--output=json", name]).expect()
        reference = context.run([REFERENCE, "info", "--output=json", name]).expect()
        if re.search(r"[^\x20-\x7e\n]", done.stdout) or json.loads(done.stdout) != json.loads(reference.stdout):
            raise Failure(done.describe("another value") + reference.describe("qemu-img:"))
    done = context.run([context.qemu_img, "snapshot", "-l", "other"]).expect()
    if ODD_NAME_SHOWN not in done.stdout or re.search(r"[^\x20-\x7e\n]", done.stdout):
        raise Failure(done.describe("harmful text"))
    done = context.run([context.qemu_img, "map", "image"]).expect(1)
    if ODD_NAME_SHOWN not in done.stderr or re.search(r"[^\x20-\x7e\n]", done.stderr):
        raise Failure(done.describe("harmful text"))


@test()
def long_map(context):
    """Many runs, and nobody reads them for a while: they are not collected."""
    maker = recipes.Maker(context.directory)
    maker.create("image", 64 * MIB, "cluster_size=512")
    writes = [f"write -P 1 {offset} 512" for offset in range(0, 4 * MIB, 1024)]
    maker.io("image", *writes)
    done = context.run([context.qemu_img, "map", "--output=json", "image"]).expect()
    reference = context.run([REFERENCE, "map", "--output=json", "image"]).expect()
    if done.stdout != reference.stdout:
        raise Failure("another output than qemu-img's")
