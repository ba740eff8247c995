"""The words of the grammar: what SFT asks, and what PPO and GRPO ask. Evaluation's are in `handwritten`."""

from collections.abc import Mapping

from groundup.alignment.data.grammar import Frames, PhrasingGrammar

SFT_FRAMES = Frames(
    openings=(
        "Hi,", "Hello!", "Hey,", "Good morning.", "Quick question:", "One more question:", "Excuse me,", "OK,", "Well,",
        "I'm new to this.", "I am learning.", "Please help me:", "Be brief:", "Answer in one sentence.",
        "For my notes:", "I have a question.", "Just curious:", "Next one:", "My question is:", "Somebody asked me:",
        "Now,", "And", "Thanks for the last answer.", "I'm stuck.", "Question:", "Dear model,",
        "I could not find this anywhere.",
    ),
    endings=(
        "exactly", "in one sentence", ", please", "in simple words", "again", "basically", "in general", ", by the way",
        "in this language", "Thanks!", "Thank you.", "Be brief.", "Keep it short.", "I can't remember.", "I'm curious.",
        "One sentence is enough.", "I need it for my work.", "Thanks in advance.", "I have no idea.", "It's urgent.",
    ),
    clause=(
        "tell me {}.", "can you tell me {}?", "please tell me {}.", "do you know {}?", "I want to know {}.", "say {}.",
        "I'd like to understand {}.", "explain {}.", "could you explain {}?", "I never understood {}.", "I wonder {}.",
        "it is not clear to me {}.", "I have to explain to others {}.", "I would like to hear {}.", "who knows {}?",
    ),
    noun=(
        "what is {}?", "give me {}.", "I need {}.", "please give me {}.", "can you give me {}?", "show me {}.", "{}.",
        "{}, please.", "{}?", "I'm looking for {}.", "write {}.", "may I have {}?", "I would like {}.", "find {}.",
        "do you have {}?", "could you show me {}?", "where is {}?",
    ),
    command=(
        "{}.", "{}.", "please {}.", "can you {}?", "could you {}?", "could you please {}?", "I want you to {}.",
        "{} for me.", "your task: {}.", "try to {}.", "would you {}?", "will you {}?", "you should {}.",
    ),
)  # fmt: skip
RL_FRAMES = Frames(
    openings=("Say,", "Listen.", "I'd like some help.", "A short one:", "Before I forget:", "Good evening.", "Right,"),
    endings=("in your view", "then", ", if you can", "A few words will do.", "Many thanks.", "I was wondering."),
    clause=("would you tell me {}?", "I should know {}.", "remember {}?", "let me hear {}."),
    noun=("please show {}.", "got {}?", "let me have {}.", "I'd love {}."),
    command=("{}.", "kindly {}.", "go on and {}.", "will you please {}?", "you may {}."),
)

STORIES = tuple(
    f"{who} {does} {{subject}}{where}."
    for who in (
        "my colleague", "the manual", "our test suite", "a blog post", "this package", "the author", "the exam",
        "an old script", "the interviewer", "my boss", "the log file", "a video", "the second chapter", "our customer",
        "the example below", "the professor", "a comment", "the server", "their newsletter", "the game",
    )
    for does in (
        "uses", "mentions", "calls", "talks about", "lists", "depends on", "asks for", "refers to", "starts with",
        "complains about", "shows", "recommends", "replaced",
    )
    for where in (
        "", "", " on page five", " at the end", " in the first line", " every day", " several times", " near the top",
        " without a reason", " before breakfast", " in a hurry",
    )
)  # fmt: skip
SUMMARY = PhrasingGrammar(
    SFT_FRAMES,
    question=(
        "what does {subject} do", "what does {subject} do", "what is {subject} for", "what is {subject}",
        "what is {subject} used for", "what does {subject} mean", "what can {subject} do", "what does {subject} offer",
        "what do people use {subject} for", "why is there {subject}", "where does {subject} help", "why use {subject}",
        "which problem does {subject} solve", "what does calling {subject} do", "when is {subject} used",
        "what kind of thing is {subject}", "what does the name {subject} refer to", "how is {subject} described",
        "what is known about {subject}", "does {subject} do something useful, and what", "who uses {subject}, and why",
        "what happens in {subject}", "what do I get from {subject}", "what is special about {subject}",
    ),
    clause=(
        "what {subject} does", "what {subject} is for", "what {subject} is", "what {subject} means",
        "what {subject} can do", "why {subject} exists", "when {subject} is useful", "what one does with {subject}",
        "what {subject} is used for", "what the library says about {subject}", "how {subject} is useful",
    ),
    noun=(
        "the meaning of {subject}", "a description of {subject}", "a short explanation of {subject}",
        "a definition of {subject}", "the use of {subject}", "the idea behind {subject}", "the job of {subject}",
        "an overview of {subject}", "information about {subject}", "a sentence on {subject}", "the help for {subject}",
        "some help with {subject}", "the effect of {subject}", "the reason for {subject}", "a hint about {subject}",
        "the docstring of {subject}", "the use case of {subject}", "the task of {subject}",
    ),
    command=(
        "explain {subject}", "describe {subject}", "define {subject}", "introduce {subject}", "tell me about {subject}",
        "tell me more about {subject}", "say something about {subject}", "explain {subject} to me", "clarify {subject}",
        "describe {subject} in one sentence", "explain the use of {subject}", "talk about {subject}",
        "help me with {subject}", "write a line about {subject}", "inform me about {subject}", "present {subject}",
        "explain briefly {subject}", "explain what {subject} does", "explain how {subject} helps",
    ),
    scene=(
        "In the library there is {subject}.", "I found {subject} in a program.", "This line uses {subject}.",
        "My teacher mentioned {subject}.", "A friend recommended {subject}.", "The book talks about {subject}.",
        "I am reading about {subject}.", "There is {subject} in this file.", "We use {subject} at work.",
        "The error comes from {subject}.", "I have to use {subject} tomorrow.", "Look at {subject}.", "Take {subject}.",
        "I don't know {subject}.", "I have never heard of {subject}.", "My program needs {subject}.",
        "Let's talk about {subject}.", "Here is a name: {subject}.", "The next topic is {subject}.",
        "An answer on a forum suggests {subject}.", "It says {subject} here.", "People talk about {subject}.",
    ),
    about_it=(
        "What is it?", "What does it do?", "What is it for?", "Can you explain it?", "What does that mean?",
        "What can it do?", "Describe it.", "Why do people use it?", "What is this?", "Please explain.",
        "Tell me about it.", "Should I use it, and for what?", "Do you know it?", "How is it useful?",
        "What is that thing good at?", "Give me a short explanation.", "A sentence on that would help.", "Why?",
    ),
    story=STORIES,
    bare=(
        "{subject}", "{subject}", "{subject}?", "{subject}:", "{subject} ...", "help: {subject}", "help({subject})",
        "info {subject}", "{subject} meaning", "{subject} description", "about {subject}", "man {subject}",
        "{subject} documentation", "{subject} please", "what about {subject}?", "and {subject}?", "explain: {subject}",
        "topic: {subject}", "define: {subject}", "{subject}!", "{subject}, what is it?", "{subject} = ?",
        "{subject}: explain", "{subject}. Explain it.", "{subject}, what does it do?", "{subject}? I don't know it.",
    ),
)  # fmt: skip
SUMMARY_RL = PhrasingGrammar(
    RL_FRAMES,
    question=(
        "what is the purpose of {subject}", "what happens when I use {subject}", "what good is {subject}",
        "why do we have {subject}", "what would {subject} be used for", "what should I use {subject} for",
    ),
    clause=("what {subject} is good for", "what {subject} was made for", "what to use {subject} for"),
    noun=("the documentation of {subject}", "a summary of {subject}", "the short story of {subject}"),
    command=("summarise {subject}", "sum up {subject}", "comment on {subject}", "recall {subject}"),
    scene=("Somebody wrote {subject} here.", "The example contains {subject}.", "I must learn {subject}."),
    about_it=("What does that do?", "What should I know of it?", "What is that good for?"),
    bare=("in a few words: {subject}?", "do you know {subject}?", "{subject}, in short", "{subject} summary"),
)  # fmt: skip

PARAMETERS = PhrasingGrammar(
    SFT_FRAMES,
    question=(
        "what are the parameters of {subject}", "which arguments does {subject} take", "which parameters has {subject}",
        "what arguments does {subject} need", "which arguments can I give to {subject}",
        "what are the arguments of {subject}", "what does {subject} take as arguments",
    ),
    clause=("which parameters {subject} has", "what arguments {subject} takes", "what {subject} takes as parameters"),
    noun=("the parameters of {subject}", "the arguments of {subject}", "the parameter list of {subject}"),
    command=(
        "write down the parameters of {subject}", "name the arguments of {subject}", "show how {subject} is called",
    ),
    bare=("{subject} parameters", "{subject} arguments", "parameters of {subject}", "{subject}: arguments?"),
)  # fmt: skip
PARAMETERS_RL = PhrasingGrammar(
    RL_FRAMES,
    question=("how do I call {subject}", "how would one call {subject}"),
    noun=("the call of {subject}",),
    bare=("{subject} usage",),
)
# What is described is put last or first, whole: nothing is written around it but a question.
WHICH = PhrasingGrammar(
    SFT_FRAMES,
    bare=(
        "Which function does this: {subject}", "What should I use for this: {subject}", "{subject} Which name is that?",
        "What does this: {subject}", "Which part of the library does the following? {subject}",
        "I want this: {subject} What is the name?", "Find the name: {subject}", "{subject} What is it called?",
    ),
)  # fmt: skip
WHICH_RL = PhrasingGrammar(RL_FRAMES, bare=("Name what does this: {subject}", "{subject} What do I use there?"))

SECTION = PhrasingGrammar(
    SFT_FRAMES,
    question=(
        "what is said about {subject}", "what should I know about {subject}", "what is {subject}",
        "what is {subject} about", "what is written about {subject}", "what does {subject} mean",
        "what is known about {subject}", "what is important about {subject}", "how is {subject} described",
        "what does the section on {subject} say", "what can I read about {subject}", "is there something on {subject}",
    ),
    clause=(
        "what {subject} is", "what is said about {subject}", "what {subject} means", "what {subject} is about",
        "what one should know about {subject}", "what is written about {subject}",
    ),
    noun=(
        "a description of {subject}", "a short explanation of {subject}", "an overview of {subject}",
        "the text on {subject}", "information about {subject}", "a sentence on {subject}", "some help with {subject}",
        "a hint about {subject}", "a short account of {subject}", "the first sentence about {subject}",
        "the section about {subject}",
    ),
    command=(
        "explain {subject}", "describe {subject}", "tell me about {subject}", "tell me more about {subject}",
        "say something about {subject}", "describe {subject} in one sentence", "explain {subject} to me",
        "help me with {subject}", "write a line about {subject}", "inform me about {subject}",
        "quote the part on {subject}",
    ),
    scene=(
        "There is a section about {subject}.", "I am reading about {subject}.", "The next topic is {subject}.",
        "I need to know about {subject}.", "Let's talk about {subject}.", "I don't know {subject}.",
        "A friend mentioned {subject}.", "We are discussing {subject}.", "I have to present {subject} tomorrow.",
    ),
    about_it=(
        "What is it?", "What is that about?", "Can you explain it?", "What does it say?", "Please explain.",
        "Tell me about it.", "What should I know?", "Describe it.", "What is this?",
    ),
    story=STORIES,
    bare=(
        "{subject}", "{subject}", "{subject}?", "{subject}:", "{subject} ...", "help: {subject}", "info {subject}",
        "about {subject}", "{subject} please", "what about {subject}?", "and {subject}?", "topic: {subject}",
        "{subject}: what is that about?", "{subject}, what is it?", "explain: {subject}", "{subject}!",
    ),
)  # fmt: skip
SECTION_RL = PhrasingGrammar(
    RL_FRAMES,
    question=("what can you say about {subject}", "what do the documents say about {subject}"),
    clause=("what there is to say about {subject}", "what the pages say about {subject}"),
    noun=("a summary of {subject}", "the short story of {subject}"),
    command=("summarise {subject}", "sum up {subject}", "comment on {subject}"),
    scene=("Somebody asked about {subject}.", "I must learn about {subject}."),
    about_it=("What is that about?", "What should I know of it?"),
    bare=("in a few words: {subject}?", "{subject}, in short", "{subject} summary"),
)

GRAMMARS: Mapping[str, Mapping[str, PhrasingGrammar]] = {
    "summary": {"sft": SUMMARY, "rl": SUMMARY_RL},
    "parameters": {"sft": PARAMETERS, "rl": PARAMETERS_RL},
    "which": {"sft": WHICH, "rl": WHICH_RL},
    "section": {"sft": SECTION, "rl": SECTION_RL},
}
