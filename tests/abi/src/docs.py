#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The code of docs/counters.md, made into files that can be compiled.

    docs.py DOCUMENT DIRECTORY HEADER...

A block of C (```c) or C++ (```cpp) becomes DIRECTORY/block-LINE.c or .cc. The comment before a block says
what to do with it:

    <!-- test: STATEMENTS -->   it is given a main() of these, in which CHECK(condition) may stand
    <!-- NAME -->               it has a main(), and becomes NAME.c

A block of another kind with a comment becomes NAME.txt. A block without a comment, and a line of code in an
indented block, are errors: nothing in the document goes unchecked. So is a public macro of the HEADERs that no
block uses.
"""
import pathlib
import re
import sys

HARNESS = """
#include <stdio.h>

static int failed_checks;
#define CHECK(what) \\
	((what) ? (void)0 : (void)(failed_checks++, printf("not so: %s\\n", #what)))

int main(void)
{
	STATEMENTS;
	return failed_checks != 0;
}
"""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
COMMENT = re.compile(r"<!-- ((?:(?!-->).)*) -->\n\Z", re.S)


def blocks(text):
    for m in BLOCK.finditer(text):
        comment = COMMENT.search(text[:m.start()])
        yield (text.count("\n", 0, m.start()) + 2, m[1], m[2], comment[1].strip() if comment else None)


def write_code(to, line, language, code, comment):
    suffix = ".c" if language == "c" else ".cc"
    name = comment
    if comment.startswith("test:"):
        name = f"block-{line}"
        if "#include" not in code:
            code = "#include <tally/tally.h>\n\n" + code
        code += HARNESS.replace("STATEMENTS", comment.removeprefix("test:").strip().rstrip(";"))
    (to / (name + suffix)).write_text(code, encoding="utf-8")


def main():
    document, to = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = document.read_text(encoding="utf-8")
    wrong, used = [], set()
    for line, language, code, comment in blocks(text):
        if comment is None:
            wrong.append(f"line {line}: a block without a comment that says how to test it")
        elif language in ("c", "cpp"):
            used |= set(re.findall(r"\bTALLY_[A-Z_]*[A-Z]\b", code))
            write_code(to, line, language, code, comment)
        else:
            (to / (comment + ".txt")).write_text(code, encoding="utf-8")
    for line in re.sub(r"<!--.*?-->", "", BLOCK.sub("", text), flags=re.S).splitlines():
        if line.startswith("    ") and re.search(r"\bTALLY_[A-Z_]+\(|#include|;$", line):
            wrong.append(f"code in an indented block: {line.strip()}")
    for header in sys.argv[3:]:
        source = pathlib.Path(header).read_text(encoding="utf-8")
        for macro in re.findall(r"^#define (TALLY_[A-Z_]*[A-Z])\(", source, re.M):
            if macro not in used:
                wrong.append(f"{macro} of {header} is in no block")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
