"""Equations: a subset of typst's notation, as MathML for pages, and the symbols in it for the checks.

The PDF takes the same text, because typst reads it as it is. What the subset has: single letters and Greek names,
scripts with `_` and `^`, fractions with `/`, brackets, `"text"`, the functions and names below, `&` and `\\` for rows.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from groundup.errors import GroundupError

GREEK = dict(
    zip(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi "
        "chi psi omega".split(),
        "αβγδεζηθικλμνξοπρστυφχψω",
        strict=True,
    )
) | {"Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Sigma": "Σ", "Phi": "Φ", "Omega": "Ω"}
OPERATORS = {
    "dot": "⋅", "times": "×", "in": "∈", "approx": "≈", "prop": "∝", "infinity": "∞", "dots": "…", "partial": "∂",
    "nabla": "∇", "union": "∪", "inter": "∩", "arrow": "→", "quad": "\u2003", "prime": "′", "plus.minus": "±",
    "dot.o": "⊙", "tilde.op": "∼", "bar.v": "|", "bar.v.double": "‖", "top": "⊤", "without": "∖", "slash": "/",
}  # fmt: skip
BIG = {"sum": "∑", "EE": "𝔼"}
WORDS = frozenset("log ln exp max min mod".split())
LIMITS = frozenset({"sum", "max", "min"})  # scripts go under and over in a displayed equation
ACCENTS = {"hat": "^", "bar": "‾", "tilde": "~"}
SHORT = {"<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "...": "…", "-": "−", "*": "∗", ">>": "≫", "<<": "≪"}
CLOSING = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(r'(?<!\s)\s*+("[^"]*"|\d+(?:[.,]\d+)*|[A-Za-z]+(?:\.[a-z]+)*|<=|>=|!=|->|\.\.\.|>>|<<|\\|\S)')


@dataclass
class Formula:
    """A piece of an equation: its MathML and, where it is a symbol, that symbol."""

    markup: str
    name: str = ""
    inner: str = ""  # without brackets, for fractions and scripts
    symbols: list[str] = field(default_factory=list)


class _FormulaReader:
    def __init__(self, text: str, where: str, display: bool) -> None:
        self.text, self.where, self.display = text, where, display
        found = list(_TOKEN.finditer(text))
        self.tokens = [match[1] for match in found]
        self.apart = [match.start() != match.start(1) for match in found]  # whether white space comes before it
        self.at = 0

    def wrong(self, what: str) -> GroundupError:
        return GroundupError(f"the equation {self.text!r} {what}", where=self.where)

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def parts(self, until: str = "") -> Iterator[Formula]:
        """Items up to `until`, which is taken; fractions joined."""
        found: list[Formula] = []
        while (token := self.peek()) != until:
            if not token:
                raise self.wrong(f"has no {until!r}")
            if token == "/" and found:
                self.take()
                above, below = found.pop(), self.scripted()
                markup = f"<mfrac>{_row(above.inner or above.markup)}{_row(below.inner or below.markup)}</mfrac>"
                found.append(Formula(markup, symbols=above.symbols + below.symbols))
            else:
                found.append(self.scripted())
        if until:
            self.take()
        yield from found

    def scripted(self) -> Formula:
        base = self.single()
        if base.symbols and self.peek() == "(" and not self.apart[self.at]:  # f(x) is one thing, as above a fraction
            inside = self.single()
            return Formula(base.markup + inside.markup, symbols=base.symbols + inside.symbols)
        scripts: dict[str, Formula] = {}
        while (token := self.peek()) in ("_", "^") and token not in scripts:
            self.take()
            scripts[token] = self.single()
        if not scripts:
            return base
        under = base.name in LIMITS and self.display
        tags = (
            {"_": "munder", "^": "mover", "_^": "munderover"} if under else {"_": "msub", "^": "msup", "_^": "msubsup"}
        )
        tag = tags["".join(sorted(scripts, key="_^".index))]
        written = "".join(_row(scripts[key].inner or scripts[key].markup) for key in "_^" if key in scripts)
        symbols = base.symbols + [symbol for part in scripts.values() for symbol in part.symbols]
        return Formula(f"<{tag}>{_row(base.markup)}{written}</{tag}>", symbols=symbols)

    def single(self) -> Formula:
        if not self.peek():
            raise self.wrong("ends too early")
        token = self.take()
        if token[0] == '"':
            return Formula(f"<mtext>{html.escape(token[1:-1])}</mtext>")
        if token[0].isdigit():
            return Formula(f"<mn>{token}</mn>")
        if token in CLOSING:
            inside = list(self.parts(CLOSING[token]))
            inner = _row("".join(part.markup for part in inside))
            symbols = [symbol for part in inside for symbol in part.symbols]
            stretchy = f"<mo>{token}</mo>{inner}<mo>{CLOSING[token]}</mo>"
            return Formula(f"<mrow>{stretchy}</mrow>", inner=inner, symbols=symbols)
        if token[0].isalpha():
            return self.named(token)
        return Formula(f"<mo>{html.escape(SHORT.get(token, token))}</mo>")

    def named(self, name: str) -> Formula:
        if name in GREEK:
            return Formula(f"<mi>{GREEK[name]}</mi>", name, symbols=[name])
        if name in BIG:
            return Formula(f"<mo>{BIG[name]}</mo>", name)
        if name in OPERATORS:
            return Formula(f"<mo>{OPERATORS[name]}</mo>", name)
        if name in WORDS:
            return Formula(f"<mi>{name}</mi>", name)
        if len(name) == 1:
            return Formula(f"<mi>{name}</mi>", name, symbols=[name])
        if self.peek() == "(":
            self.take()
            return self.call(name, self.arguments())
        raise self.wrong(f"has the name {name}, which is no symbol that is known")

    def arguments(self) -> list[list[Formula]]:
        """Up to the closing bracket, split at commas and, for matrices, semicolons kept as their own parts."""
        found: list[list[Formula]] = [[]]
        for part in self.parts(")"):
            if part.markup == "<mo>,</mo>":
                found.append([])
            else:
                found[-1].append(part)
        return found

    def call(self, name: str, arguments: list[list[Formula]]) -> Formula:
        rows = [_row("".join(part.markup for part in one)) for one in arguments]
        symbols = [symbol for one in arguments for part in one for symbol in part.symbols]
        match name:
            case "sqrt":
                markup = f"<msqrt>{rows[0]}</msqrt>"
            case "frac":
                markup = f"<mfrac>{rows[0]}{rows[1]}</mfrac>"
            case "binom":
                markup = f"<mrow><mo>(</mo><mfrac linethickness='0'>{rows[0]}{rows[1]}</mfrac><mo>)</mo></mrow>"
            case "op":
                return Formula(rows[0].replace("mtext", "mi"))
            case "bold":
                name = "".join(part.name for part in arguments[0])
                return Formula(f"<mi mathvariant='bold'>{_bold(name)}</mi>", symbols=[f"bold({name})"])
            case "cal":
                name = "".join(part.name for part in arguments[0])
                return Formula(f"<mi>{chr(0x1D4D0 + ord(name) - 65)}</mi>", symbols=[f"cal({name})"])
            case "abs" | "norm" | "floor" | "ceil":
                left, right = {"abs": ("|", "|"), "norm": ("‖", "‖"), "floor": ("⌊", "⌋"), "ceil": ("⌈", "⌉")}[name]
                markup = f"<mrow><mo>{left}</mo>{rows[0]}<mo>{right}</mo></mrow>"
            case "underbrace" | "overbrace":
                tag, brace = ("munder", "⏟") if name == "underbrace" else ("mover", "⏞")
                markup = f"<{tag}><{tag}>{rows[0]}<mo>{brace}</mo></{tag}>{rows[1]}</{tag}>"
            case "vec":
                cells = "".join(f"<mtr><mtd>{row}</mtd></mtr>" for row in rows)
                markup = f"<mrow><mo>(</mo><mtable>{cells}</mtable><mo>)</mo></mrow>"
            case _ if name in ACCENTS:
                markup = f"<mover>{rows[0]}<mo>{ACCENTS[name]}</mo></mover>"
            case _:
                raise self.wrong(f"calls {name}, which is no function that is known")
        return Formula(markup, symbols=symbols)


def _row(markup: str) -> str:
    return f"<mrow>{markup}</mrow>"


def _bold(name: str) -> str:
    if len(name) == 1 and name.isascii() and name.isalpha():
        return chr((0x1D400 if name.isupper() else 0x1D41A - 32) + ord(name) - 65)
    return GREEK.get(name, name)


def read(text: str, where: str, display: bool = False) -> Formula:
    """An equation's MathML and symbols; raises GroundupError where it can't be read."""
    reader = _FormulaReader(text, where, display)
    rows: list[str] = [""]
    symbols: list[str] = []
    for part in reader.parts():
        if part.markup == "<mo>\\</mo>":
            rows.append("")
        else:
            rows[-1] += part.markup
            symbols += part.symbols
    if len(rows) == 1:
        inner = rows[0].replace("<mo>&amp;</mo>", "")
    else:
        lines = ["".join(f"<mtd>{cell}</mtd>" for cell in row.split("<mo>&amp;</mo>")) for row in rows]
        inner = "<mtable class='rows'>" + "".join(f"<mtr>{line}</mtr>" for line in lines) + "</mtable>"
    block = ' display="block"' if display else ""
    return Formula(f"<math{block}>{inner}</math>", symbols=list(dict.fromkeys(symbols)))


def plain(text: str) -> str:
    """An equation as searchable text: its letters and signs without markup."""
    return re.sub(r"<[^>]*>", "", read(text, "").markup)
