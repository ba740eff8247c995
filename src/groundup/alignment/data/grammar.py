"""Ways to ask, composed: opening x core x ending. What a training stage asks is drawn from here.

A core says what is wanted of `{subject}`, in one of several forms, and each form has frames of its own:

    question  what does {subject} do            What does {subject} do?       Hi, what does {subject} do exactly?
    clause    what {subject} does               Tell me what {subject} does.  Do you know what {subject} does?
    noun      the purpose of {subject}          What is the purpose of ...?   I need the purpose of ..., please.
    command   explain {subject}                 Please explain {subject}.     Can you explain {subject} for me?
    scene     {subject} is in this file.        {subject} is in this file. What does it do?
    several   what is {subject}                 What is {subject}? What does it do?
    story     the manual lists {subject}.       The manual lists {subject}. What is it for?
    bare      {subject}                         {subject}?

A question is the grammar's sentence with a disguise: see `disguise`.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

FRAME = "{}"
ALONE = ("story", "bare")  # forms without opening and ending
WEIGHTS = {
    "question": 4.0,
    "clause": 2.0,
    "noun": 2.0,
    "command": 3.0,
    "scene": 1.5,
    "several": 1.0,
    "story": 2.5,
    "bare": 2.0,
}


@dataclass(frozen=True)
class Frames:
    """What goes around the cores; `{}` is the core. Empty parts are drawn as often as `plain` says."""

    openings: tuple[str, ...]
    endings: tuple[str, ...]
    clause: tuple[str, ...]
    noun: tuple[str, ...]
    command: tuple[str, ...]
    plain: float = 0.6


@dataclass(frozen=True)
class PhrasingGrammar:
    """The cores of one aspect in one set of phrasings, with the frames around them."""

    frames: Frames
    question: tuple[str, ...] = ()
    clause: tuple[str, ...] = ()
    noun: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    scene: tuple[str, ...] = ()
    about_it: tuple[str, ...] = ()
    """Questions about the subject of a scene, or after a first question, as `it`."""
    story: tuple[str, ...] = ()
    """Scenes of many words, without opening and ending."""
    bare: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)

    def draw(self, rng: random.Random) -> str:
        """A sentence with `{subject}` in it."""
        forms = [form for form in self.weights if self._of(form)]
        form = rng.choices(forms, [self.weights[form] for form in forms])[0]
        frames = self.frames
        core = rng.choice(self._of(form))
        sentence = _capital(rng.choice(self._around(form)).replace(FRAME, core))
        if form in ALONE:
            return sentence
        opening = rng.choice(frames.openings) if rng.random() > frames.plain else ""
        ending = rng.choice(frames.endings) if rng.random() > frames.plain else ""
        return _joined(opening, sentence, ending)

    def sentences(self) -> Iterator[str]:
        """Every sentence that `draw` can return."""
        for form in self.weights:
            for core in self._of(form):
                for frame in self._around(form):
                    sentence = _capital(frame.replace(FRAME, core))
                    if form in ALONE:
                        yield sentence
                        continue
                    for opening in ("", *self.frames.openings):
                        for ending in ("", *self.frames.endings):
                            yield _joined(opening, sentence, ending)

    def _of(self, form: str) -> tuple[str, ...]:
        if form == "several":
            return self.question if self.about_it else ()
        cores: tuple[str, ...] = getattr(self, form)
        return cores

    def _around(self, form: str) -> tuple[str, ...]:
        """The frames of a core of this form."""
        if form in ("question", "bare"):
            return (FRAME + "?",) if form == "question" else (FRAME,)
        if form in ("scene", "several", "story"):
            mark = "?" if form == "several" else ""
            return tuple(f"{FRAME}{mark} {question}" for question in self.about_it)
        frames: tuple[str, ...] = getattr(self.frames, form)
        return frames


def _capital(sentence: str) -> str:
    """The first letter capital, unless the subject comes first: names are written as they are."""
    return sentence if sentence.startswith("{") else sentence[:1].upper() + sentence[1:]


def _joined(opening: str, sentence: str, ending: str) -> str:
    """After an opening that ends in a comma or a colon the sentence continues in small letters."""
    if opening and opening[-1] not in ".!?" and not sentence.startswith(("{", "I ", "I'")):
        sentence = sentence[:1].lower() + sentence[1:]
    if ending[:1].islower() or ending[:1] == ",":  # becomes part of the sentence: "... do exactly?"
        mark = sentence[-1] if sentence[-1] in "?.!" else ""
        sentence = f"{sentence.removesuffix(mark)}{'' if ending[0] == ',' else ' '}{ending}{mark}"
        ending = ""
    return " ".join(part for part in (opening, sentence, ending) if part)
