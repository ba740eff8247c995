// One turn on the page: the question, its answers, what is noted about them, and what can be done with them.
import { announce, button, copyButton, grow, make, writing } from "./dom.js";
import { render } from "./markdown.js";
import { tokensView } from "./tokens.js";
import { whereView } from "./where.js";

/** The view of a turn. `actions`, called by its buttons: edit(text), regenerate(retry), where(answer); hasWhere(). */
export class TurnView {
  constructor(turn, actions) {
    Object.assign(this, { turn, actions });
    this.element = make("article", { className: "turn" });
    this.question = make("div", { className: "question" });
    this.answers = make("div", { className: "answers" });
    this.element.append(this.question, this.answers);
    this.showQuestion();
    this.showAnswers();
  }

  showQuestion() {
    this.element.setAttribute("aria-label", this.turn.question);
    const tools = make("div", { className: "tools" }, button("Edit", () => this.edit(), "quiet act"));
    this.question.replaceChildren(make("p", {}, this.turn.question), tools);
  }

  /** Build the answers' columns. */
  showAnswers() {
    const several = this.turn.answers.length > 1;
    this.answers.classList.toggle("two", several);
    this.columns = this.turn.answers.map((answer) => new AnswerView(answer, several, this.actions));
    this.answers.replaceChildren(...this.columns.map((column) => column.element));
  }

  edit() {
    const area = make("textarea", { value: this.turn.question, rows: 1 });
    area.setAttribute("aria-label", "Edit your question; the turns after it are removed");
    const close = () => {
      this.showQuestion();
      this.question.querySelector("button").focus();
    };
    const send = make("button", { className: "act" }, "Ask");
    const form = make("form", {}, make("div", { className: "field" }, area, button("Cancel", close), send));
    this.question.replaceChildren(form);
    writing(form, area, (text) => { close(); this.actions.edit(text); }, close);
    grow(area);
    area.focus();
  }
}

/** Change the page; a reader at its end stays at its end. */
function following(change) {
  const page = document.documentElement;
  const atEnd = window.innerHeight + window.scrollY >= page.scrollHeight - 80;
  change();
  if (atEnd) window.scrollTo(0, page.scrollHeight);
}

class AnswerView {
  constructor(answer, named, actions) {
    this.answer = answer;
    this.actions = actions;
    this.asTokens = false;
    this.text = make("div", { className: "answer" });
    this.note = make("p", { className: "note" });
    this.speed = make("span", { className: "speed" });
    this.again = button("Regenerate", () => actions.regenerate(answer.failed), "quiet act again");
    this.view = button("Probabilities", () => { this.asTokens = !this.asTokens; this.show(); });
    this.origin = button("Where from?", () => this.toggleWhere());
    this.origin.setAttribute("aria-expanded", "false");
    this.where = make("div", { hidden: true });
    const buttons = [copyButton(() => answer.text), this.again, this.view, this.origin];
    this.tools = make("div", { className: "tools" }, ...buttons, this.speed);
    this.element = make("section", { className: "column" }, this.text, this.note, this.tools, this.where);
    if (named) this.element.prepend(make("h3", { className: "model" }, answer.model));
    this.element.setAttribute("aria-label", `Answer of ${answer.model}`);
    this.busy(false);
  }

  show() {
    const { answer } = this;
    const tokens = this.asTokens && answer.tokens?.length;
    this.text.replaceChildren(tokens ? tokensView(answer.tokens) : render(answer.text));
    this.note.textContent = answer.notes.join(" ");
    this.note.classList.toggle("failed", answer.failed);
    this.speed.textContent = answer.speed;
    this.again.textContent = answer.failed ? "Try again" : "Regenerate";
    this.view.hidden = !answer.tokens?.length;
    this.view.setAttribute("aria-pressed", this.asTokens);
    this.origin.hidden = !answer.text || !this.actions.hasWhere();
  }

  /** Show or hide the training documents that the answer is nearest to; they are asked for once. */
  async toggleWhere() {
    const open = this.where.hidden;
    this.where.hidden = !open;
    this.origin.setAttribute("aria-expanded", open);
    if (!open || this.where.childElementCount) return;
    this.where.replaceChildren(make("p", { className: "soft" }, "Looking through the training documents …"));
    try {
      const found = await this.actions.where(this.answer);
      following(() => this.where.replaceChildren(whereView(found)));
      announce(`${found.length} documents`);
    } catch (error) {
      this.where.replaceChildren();
      this.where.hidden = true;
      this.origin.setAttribute("aria-expanded", "false");
      this.note.textContent = `That did not work: ${error.message}.`;
    }
  }

  /** Show what has come, at most once for each picture that the screen draws. */
  update() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      following(() => this.show());
    });
  }

  busy(busy) {
    this.text.setAttribute("aria-busy", busy);
    following(() => {
      this.tools.hidden = busy;
      this.show();
    });
    if (!busy && this.wasBusy) announce(`${this.answer.text} ${this.answer.notes.join(" ")}`); // once, not in pieces
    this.wasBusy = busy;
  }
}
