// Elements. Text is always set as a text node, never as HTML.
export const at = (id) => document.getElementById(id);

/** An element with properties and children; a string child is a text node. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

export const button = (text, onclick, className = "quiet") =>
  make("button", { type: "button", className, onclick }, text);

/** Say something to a screen reader. */
export function announce(text) {
  at("status").textContent = text;
}

/** Enter submits, Shift + Enter starts a new line, Escape cancels; not while an input method composes. */
export function writing(form, area, submit, cancel) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (area.value.trim()) submit(area.value.trim());
  });
  area.addEventListener("input", () => grow(area));
  area.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") cancel();
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    form.requestSubmit();
  });
}

export function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

/** Copy a text; the button shows that it worked. `navigator.clipboard` is absent over plain HTTP from elsewhere. */
export function copyButton(text) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text());
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Not copied";
    }
    announce(copy.textContent);
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  copy.hidden = !navigator.clipboard;
  return copy;
}
