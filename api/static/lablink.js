// What every page needs: local times, copy buttons, forms that check themselves, and care for live parts. No library but htmx.
"use strict";

(() => {
  const each = (root, selector, act) => {
    if (root.matches?.(selector)) act(root);
    root.querySelectorAll(selector).forEach(act);
  };
  const sameDay = (one, other) => one.toDateString() === other.toDateString();

  // Instants are sent in UTC; people read their own clock.
  const showTime = (time) => {
    const at = new Date(time.dateTime);
    const date = sameDay(at, new Date()) ? {} : { day: "numeric", month: "short" };
    const text = at.toLocaleString(undefined, { ...date, hour: "2-digit", minute: "2-digit", second: "2-digit" });
    if ("local" in time.dataset) time.textContent = text;
    time.title = at.toLocaleString();
  };

  const enableCopy = (button) => {
    if (!navigator.clipboard) return;
    const words = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = words), 2000);
    });
  };

  const judge = (field) => {
    const value = field.value.trim();
    if (!value && field.required) return field.dataset.wrong ?? "This is needed.";
    const pattern = field.dataset.looksLike;
    return !pattern || !value || new RegExp(pattern).test(value) ? "" : field.dataset.wrong;
  };

  const showJudgement = (field) => {
    const wrong = judge(field);
    const place = document.getElementById(`${field.id}-error`);
    if (place) place.textContent = wrong;
    if (wrong) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    return !wrong;
  };

  const checkForm = (form) => {
    const fields = [...form.querySelectorAll("[data-wrong], [required]")];
    for (const field of fields) {
      field.addEventListener("blur", () => field.value && showJudgement(field));
      field.addEventListener("input", () => field.hasAttribute("aria-invalid") && showJudgement(field));
    }
    form.addEventListener("submit", (event) => {
      const wrong = fields.filter((field) => !showJudgement(field));
      if (!wrong.length) return;
      event.preventDefault();
      wrong[0].focus();
    });
  };

  const dress = (root) => {
    each(root, "time[datetime]", showTime);
    each(root, "[data-copy]", enableCopy);
    each(root, "form[data-check]", checkForm);
  };

  // A live part waits while somebody works in it: what was opened, chosen or begun to be typed would be lost.
  const isBusy = (part) =>
    part.querySelector("details[open], input:checked[name=hostname]") !== null ||
    (part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));

  document.addEventListener("htmx:beforeRequest", (event) => {
    const part = event.detail.elt;
    const live = event.detail.requestConfig.triggeringEvent?.type?.startsWith("sse:");
    if (live && isBusy(event.detail.target ?? part)) event.preventDefault();
  });
  document.addEventListener("htmx:load", (event) => dress(event.detail.elt));
  document.addEventListener("DOMContentLoaded", () => dress(document));
})();
