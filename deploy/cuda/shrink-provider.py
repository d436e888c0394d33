"""Zeroes the device code of other GPUs in a CUDA library, which then compresses well. Neither its size nor any address changes.

    shrink-provider.py LIBRARY ARCHITECTURE    e.g. libonnxruntime_providers_cuda.so 90, for Hopper

The section `.nv_fatbin` is a row of containers, one for each source file, and each has the same kernels compiled for several
architectures. The driver goes by the headers of a container's entries, which all stay, and takes the binary of its own architecture.
Only the other entries of a container that has such a binary are zeroed: any other container stays as it is.
"""

import struct
import sys

CONTAINER = struct.Struct("<IHHQ")  # magic, version, size of this header, size of the entries
ENTRY = struct.Struct("<HHIQ12xI")  # kind, version, size of this header, size of the code, architecture
MAGIC = 0xBA55ED50
BINARY = 2
SECTION = ".nv_fatbin"


def section_of(library):
    """Offset and size of the section in an ELF file of 64 bits, little endian."""
    if bytes(library[:6]) != b"\x7fELF\x02\x01":
        raise ValueError("expected an ELF library of 64 bits, little endian, got another file")
    (table,) = struct.unpack_from("<Q", library, 0x28)
    size, count, names = struct.unpack_from("<HHH", library, 0x3A)
    header = lambda i: struct.unpack_from("<IIQQQQ", library, table + i * size)
    strings = header(names)[4]
    for i in range(count):
        name, _, _, _, offset, length = header(i)
        begin = strings + name
        if bytes(library[begin : library.index(b"\0", begin)]).decode() == SECTION:
            return offset, length
    raise ValueError(f"expected a section {SECTION}, got none: it is no CUDA library")


def containers(library):
    """The entries of each container, as (kind, architecture, begin of the code, end of the code)."""
    at, length = section_of(library)
    end = at + length
    while at < end:
        magic, _, header, size = CONTAINER.unpack_from(library, at)
        if magic == 0 and header == 0:  # Between containers there is padding to 8 bytes.
            at += 8
            continue
        stop = at + header + size
        if magic != MAGIC or stop > end:
            raise ValueError(f"expected a container at {at:#x}, got {magic:#x} and {size} bytes")
        entries, at = [], at + header
        while at < stop:
            kind, _, header, size, architecture = ENTRY.unpack_from(library, at)
            if header < ENTRY.size or at + header + size > stop:
                raise ValueError(f"expected an entry at {at:#x}, got one of {header} and {size} bytes")
            entries.append((kind, architecture, at + header, at + header + size))
            at += header + size
        yield entries


def shrink(library, wanted):
    """@returns bytes of code, bytes that are zeroed now, containers, those that stay as they are"""
    total = zeroed = count = kept = 0
    for entries in containers(library):
        count += 1
        total += sum(end - begin for _, _, begin, end in entries)
        if not any(kind == BINARY and architecture == wanted for kind, architecture, _, _ in entries):
            kept += 1
            continue
        for kind, architecture, begin, end in entries:
            if kind == BINARY and architecture == wanted:
                continue
            library[begin:end] = bytes(end - begin)
            zeroed += end - begin
    return total, zeroed, count, kept


def main():
    path, wanted = sys.argv[1], int(sys.argv[2])
    with open(path, "rb") as file:
        library = bytearray(file.read())
    total, zeroed, count, kept = shrink(library, wanted)
    if zeroed == 0 and kept == count:
        sys.exit(f"{path}: expected code for architecture {wanted}, got none")
    with open(path, "wb") as file:
        file.write(library)
    mib = lambda size: f"{size / 2**20:.0f} MiB"
    print(f"{path}: {mib(zeroed)} of {mib(total)} of code are zeroed; {kept} of {count} containers stay as they are", file=sys.stderr)


if __name__ == "__main__":
    main()
