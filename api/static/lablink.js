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
    const second = time.dataset.local === "minute" ? {} : { second: "2-digit" };
    const text = at.toLocaleString(undefined, { ...date, hour: "2-digit", minute: "2-digit", ...second });
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

  // A stream rests while nobody looks at its page: browsers have six connections for a server, and each tab would keep one. The seat's goes
  // on, since by it whoever waits keeps the place in line. Streams end with their page and not as a failure of it; a page that comes back
  // from the browser's memory begins anew.
  const ALWAYS = "/seat/live";
  const streams = new Set();

  class Stream extends EventTarget {
    #address;
    #names = new Set();
    #source = null;
    #last = "";

    constructor(address) {
      super();
      this.#address = new URL(address, location);
      streams.add(this);
      this.look();
    }

    get readyState() {
      return this.#source?.readyState ?? (streams.has(this) ? EventSource.CONNECTING : EventSource.CLOSED);
    }

    addEventListener(name, hear) {
      super.addEventListener(name, hear);
      if (!this.#names.has(name)) this.#source?.addEventListener(name, this.#relay);
      this.#names.add(name);
    }

    close() {
      streams.delete(this);
      this.#rest();
    }

    // Begins, goes on where it was, or rests, as the page is seen or not.
    look() {
      if (document.hidden && this.#address.pathname !== ALWAYS) this.#rest();
      else if (!this.#source) this.#begin();
    }

    #begin() {
      if (this.#last) this.#address.searchParams.set("after", this.#last);
      const source = (this.#source = new EventSource(this.#address));
      source.onopen = (event) => this.onopen?.(event);
      source.onerror = (event) => {
        this.onerror?.(event);
        if (source.readyState !== EventSource.CLOSED) return;
        streams.delete(this);
        this.dispatchEvent(new MessageEvent("changed")); // refused: the parts that it keeps fresh ask why, and lead to the login if it is that
      };
      this.#names.forEach((name) => source.addEventListener(name, this.#relay));
    }

    #rest() {
      this.#source?.close();
      this.#source = null;
    }

    #relay = (event) => {
      this.#last = event.lastEventId || this.#last;
      this.dispatchEvent(new MessageEvent(event.type, { data: event.data }));
    };
  }

  window.Stream = Stream;
  htmx.createEventSource = (address) => new Stream(address);
  document.addEventListener("visibilitychange", () => {
    streams.forEach((stream) => stream.look());
    if (!document.hidden) streams.forEach((stream) => stream.dispatchEvent(new MessageEvent("changed")));
  });
  addEventListener("pagehide", () => streams.forEach((stream) => stream.close()));
  addEventListener("pageshow", (event) => event.persisted && location.reload());

  // A live part waits while somebody works in it: what was opened, chosen or begun to be typed would be lost.
  const isBusy = (part) =>
    part.querySelector("details[open], input:checked[name=hostname]") !== null ||
    (part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));

  const isLive = (event) => /^(sse:|renew$)/.test(event.detail.requestConfig.triggeringEvent?.type);
  const behind = new Set(); // parts whose renewal waits

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!isLive(event) || !isBusy(event.detail.target)) return;
    behind.add(event.detail.elt);
    event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    // Somebody may have begun to work in it while the answer was on its way.
    if (!isLive(event) || !isBusy(event.detail.target)) return;
    behind.add(event.detail.elt);
    event.detail.shouldSwap = false;
  });

  // Whoever works by keyboard, or has scrolled a part, stays where they were when it is renewed.
  const name = (one) => [one.tagName, one.id, one.getAttribute("href"), one.getAttribute("aria-label"), one.name, one.value].join(" ");
  const regions = () => [...document.querySelectorAll("[role=region]")];
  const atEnd = (one) => one.scrollHeight - one.scrollTop - one.clientHeight < 40;
  let focused = "";
  let scrolled = new Map();

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.detail.shouldSwap) return;
    focused = document.activeElement === document.body ? "" : name(document.activeElement);
    scrolled = new Map(regions().map((one) => [name(one), { left: one.scrollLeft, top: "follow" in one.dataset && atEnd(one) ? null : one.scrollTop }]));
  });
  document.addEventListener("htmx:afterSettle", () => {
    for (const one of regions()) {
      const { left, top } = scrolled.get(name(one)) ?? {};
      if (left) one.scrollLeft = left;
      if (top) one.scrollTop = top;
    }
    if (!focused || document.activeElement !== document.body) return;
    [...document.querySelectorAll("a, button, input, select, summary, [tabindex]")].find((one) => name(one) === focused)?.focus({ preventScroll: true });
  });
  const catchUp = () => {
    const parts = [...behind];
    behind.clear();
    parts.filter((part) => part.isConnected).forEach((part) => htmx.trigger(part, "sse:changed"));
  };
  for (const moment of ["toggle", "focusout", "change"]) {
    document.addEventListener(moment, () => behind.size && setTimeout(catchUp), true);
  }

  // What was asked for and does not come is said; live parts are asked for again by themselves, and a page that hears nothing may be old.
  const SILENT_MS = 5000;
  const lost = (event) => {
    if (isLive(event)) return;
    const text = "This could not be loaded: LabLink did not answer. Load the page again.";
    event.detail.target.replaceChildren(Object.assign(document.createElement("p"), { className: "notice bad", textContent: text }));
  };
  ["htmx:responseError", "htmx:sendError"].forEach((trouble) => document.addEventListener(trouble, lost));
  let silence = 0;
  document.addEventListener("htmx:sseError", () => (silence ||= setTimeout(() => (document.getElementById("away").hidden = false), SILENT_MS)));
  document.addEventListener("htmx:sseOpen", () => {
    clearTimeout(silence);
    silence = 0;
    document.getElementById("away").hidden = true;
  });

  // A form that is on its way is not sent again by a second click. Its buttons are disabled a moment later: the one that was pressed is sent, too.
  const LATE_MS = 15000; // then whoever stopped it may try again
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method === "get") return;
    if ("sent" in form.dataset) return event.preventDefault();
    const buttons = [...form.elements].filter((one) => one.type === "submit" && !one.disabled);
    const free = (busy) => buttons.forEach((button) => (button.disabled = busy));
    form.dataset.sent = "";
    setTimeout(() => free(true));
    setTimeout(() => (delete form.dataset.sent, free(false)), LATE_MS);
  });

  document.addEventListener("htmx:load", (event) => dress(event.detail.elt));
  document.addEventListener("DOMContentLoaded", () => dress(document));
})();
