// The admin's pages: lists with ticks, the editor's line numbers and marks, output that is followed.
"use strict";

(() => {
  const each = (root, selector, act) => {
    if (root.matches?.(selector)) act(root);
    root.querySelectorAll(selector).forEach(act);
  };

  const countTicks = (form) => {
    const count = (name) => form.querySelectorAll(`input[name=${name}]:checked`).length;
    const ticked = count("hostname") + count("seq");
    const place = form.querySelector("[data-chosen]");
    if (place) place.textContent = ticked ? `${ticked} ticked` : "";
    form.querySelectorAll("button[name=deed]").forEach((button) => (button.disabled = !count("hostname")));
    form.querySelectorAll("button[data-waiting]").forEach((button) => (button.disabled = !count("seq")));
  };

  const dressTicks = (place) => {
    const form = place.closest("form");
    form.addEventListener("change", (event) => {
      if (event.target.matches("[data-all]")) {
        form.querySelectorAll("input[name=hostname]").forEach((box) => (box.checked = event.target.checked));
      }
      countTicks(form);
    });
    countTicks(form);
  };

  const dressEditor = (editor) => {
    const gutter = editor.querySelector(".gutter");
    const text = editor.querySelector("textarea");
    const number = () => {
      const lines = text.value.split("\n").length;
      while (gutter.childElementCount > lines) gutter.lastChild.remove();
      while (gutter.childElementCount < lines) {
        gutter.append(Object.assign(document.createElement("span"), { textContent: gutter.childElementCount + 1 }));
      }
    };
    const mark = () => {
      const wrong = new Set([...document.querySelectorAll("#check [data-line]")].map((one) => Number(one.dataset.line)));
      [...gutter.children].forEach((line, index) => line.classList.toggle("wrong", wrong.has(index + 1)));
    };
    text.addEventListener("input", number);
    text.addEventListener("scroll", () => (gutter.scrollTop = text.scrollTop));
    text.addEventListener("keydown", (event) => {
      // Two blanks for a Tab while a selection begins inside a line; Escape gives the Tab back to the keyboard's way around.
      if (event.key === "Escape") text.dataset.leaving = "yes";
      if (event.key !== "Tab" || event.shiftKey || text.dataset.leaving) return;
      event.preventDefault();
      text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
      text.dispatchEvent(new Event("input", { bubbles: true }));
    });
    text.addEventListener("focus", () => delete text.dataset.leaving);
    document.addEventListener("htmx:afterSettle", (event) => event.target.id === "check" && mark());
    document.addEventListener("click", (event) => {
      const line = Number(event.target.dataset?.go);
      if (!line) return;
      const before = text.value.split("\n").slice(0, line - 1).join("\n");
      const at = before.length + (line > 1 ? 1 : 0);
      text.focus();
      text.setSelectionRange(at, at + text.value.split("\n")[line - 1].length);
      text.scrollTop = Math.max(0, ((line - 8) * text.scrollHeight) / text.value.split("\n").length);
    });
    number();
  };

  // What was typed outlives a session that ends, a reload and the way back: it stays with the tab until it is in force or thrown away.
  const keepDraft = (form) => {
    const key = `draft ${location.pathname}`;
    const fields = [...form.elements].filter((field) => field.name && field.type !== "submit");
    const read = () => Object.fromEntries(fields.map((one) => [one.name, one.type === "checkbox" ? one.checked : one.value]));
    const write = (kept) => fields.forEach((one) => (one[one.type === "checkbox" ? "checked" : "value"] = kept[one.name] ?? ""));
    const isTyped = (one) => one.type !== "hidden";
    const save = () => sessionStorage.setItem(key, JSON.stringify(read()));
    const kept = JSON.parse(sessionStorage.getItem(key));
    const shown = read();
    if (form.dataset.draft === "typed") save(); // the answer to what was sent: not in force yet
    else if (kept && fields.some((one) => isTyped(one) && kept[one.name] !== shown[one.name])) {
      write(kept); // with the version that it was made from
      form.querySelector("[data-restored]").hidden = false;
      fields.find(isTyped).dispatchEvent(new Event("input", { bubbles: true }));
    } else sessionStorage.removeItem(key);
    form.addEventListener("input", save);
    document.querySelectorAll("[data-forget]").forEach((link) => link.addEventListener("click", () => sessionStorage.removeItem(key)));
  };

  const follow = (output) => (output.scrollTop = output.scrollHeight);

  const dress = (root) => {
    each(root, "[data-chosen]", dressTicks);
    each(root, ".editor", dressEditor);
    each(root, "[data-follow]", follow);
    each(root, "[data-draft]", keepDraft);
    each(root, "form[action='/logout']", (form) => form.addEventListener("submit", () => sessionStorage.clear()));
  };
  document.addEventListener("htmx:load", (event) => event.detail.elt !== document.body && dress(event.detail.elt));
  // Browsers tick again what was ticked when somebody comes back to a list.
  addEventListener("pageshow", () => document.querySelectorAll("[data-chosen]").forEach((place) => countTicks(place.closest("form"))));
  document.addEventListener("DOMContentLoaded", () => {
    dress(document);
    // On a phone the navigation is wider than the screen.
    const nav = document.querySelector(".side nav");
    const here = nav?.querySelector("[aria-current]");
    if (here) nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.clientWidth) / 2;
  });
})();
