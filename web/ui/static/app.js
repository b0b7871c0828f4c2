// Parley's pages work without this file; it adds live updates, local times, copying and small comforts.
"use strict";
(() => {
  const root = document.documentElement;

  // Times are written in UTC by the server; show them in the reader's time zone.
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
  const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  function localTimes(scope) {
    for (const el of scope.querySelectorAll("time[datetime]")) {
      const at = new Date(el.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      el.textContent = (el.dataset.as === "clock" ? clock : short).format(at);
      el.title = full.format(at);
    }
  }

  // Copy buttons appear only where copying can work.
  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        if (navigator.clipboard) {
          await navigator.clipboard.writeText(source.textContent);
        } else { // no secure context: select, and use the old way
          const range = document.createRange();
          range.selectNodeContents(source);
          const selection = getSelection();
          selection.removeAllRanges();
          selection.addRange(range);
          if (!document.execCommand("copy")) throw new Error("refused");
        }
        label.textContent = "Copied";
      } catch {
        label.textContent = "Select and copy by hand";
      }
      setTimeout(() => { label.textContent = "Copy"; }, 2500);
    });
  }

  // The tenant switch acts on change; without this file it has a button.
  for (const form of document.querySelectorAll("form[data-auto]")) {
    form.querySelector("[data-auto-hide]").hidden = true;
    form.querySelector("select").addEventListener("change", () => form.requestSubmit());
  }

  // Times that are typed are by the reader's clock; the server is told how far that is from UTC.
  for (const field of document.querySelectorAll("[data-tz]")) {
    field.value = String(new Date().getTimezoneOffset());
    for (const hint of document.querySelectorAll("[data-tz-hint]")) hint.hidden = true;
  }

  // Tables of a form: rows are added, removed and moved here; without this file there are some empty ones to fill in.
  for (const rows of document.querySelectorAll("[data-rows]")) {
    const all = () => [...rows.querySelectorAll("[data-row]")];
    const blank = all().pop().cloneNode(true);
    const empty = (row) => [...row.querySelectorAll("input, select")].every((f) => f.value === "" || f.name === "action");
    for (let list = all(); list.length > 1 && empty(list.at(-1)) && empty(list.at(-2)); list = all()) list.at(-1).remove(); // one will do
    const show = (scope) => { for (const b of scope.querySelectorAll("[data-row-remove], [data-row-up], [data-row-add]")) b.hidden = false; };
    show(rows);
    show(blank);
    rows.addEventListener("click", (event) => {
      const row = event.target.closest("[data-row]");
      if (event.target.closest("[data-row-add]")) {
        const fresh = blank.cloneNode(true);
        all().at(-1).after(fresh);
        fresh.querySelector("input, select").focus();
      } else if (event.target.closest("[data-row-remove]")) {
        if (all().length === 1) all()[0].after(blank.cloneNode(true));
        (row.nextElementSibling?.matches("[data-row]") ? row.nextElementSibling : row.previousElementSibling)?.querySelector?.("input, select")?.focus();
        row.remove();
      } else if (event.target.closest("[data-row-up]") && row.previousElementSibling?.matches("[data-row]")) {
        row.previousElementSibling.before(row);
        event.target.closest("button").focus();
      }
    });
  }

  // The box to try a number answers while somebody types.
  for (const form of document.querySelectorAll("[data-try]")) {
    const result = document.querySelector("[data-try-result]");
    let waiting = 0;
    let asked = null;
    const ask = async () => {
      asked?.abort();
      const mine = asked = new AbortController();
      try {
        const answer = await fetch(`${form.dataset.try}?${new URLSearchParams(new FormData(form))}`, { signal: mine.signal, redirect: "error" });
        if (answer.ok) result.innerHTML = await answer.text();
      } catch { /* the next key asks again, and the button always works */ }
    };
    form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(ask, 200); });
    form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); ask(); });
  }

  // Theme: change at once, and tell the server so that the next page comes in it.
  for (const form of document.querySelectorAll("[data-theme-form]")) {
    const button = form.querySelector("button");
    const label = form.querySelector("[data-theme-label]");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const offer = () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
      button.value = dark ? "light" : "dark";
      label.textContent = dark ? "Light" : "Dark";
    };
    offer();
    system.addEventListener("change", offer);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      offer(); // as it is now: the system may have changed its mind
      const body = new URLSearchParams(new FormData(form, button));
      root.dataset.theme = button.value;
      offer();
      fetch(form.action, { method: "POST", body, redirect: "manual" });
    });
  }

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    addEventListener("pageshow", () => { delete form.dataset.sent; }, { once: true });
  });

  // Live updates: the server sends pieces of HTML, each for the element with that data-live name.
  const source = document.querySelector("[data-live-source]");
  const state = document.querySelector("[data-live-state]");
  const tell = (on, text) => { if (state) { state.dataset.state = on; state.textContent = text; } };
  function replace(el, html) {
    if (el.contains(document.activeElement) && el.dataset.live === "bindings") return; // not under somebody's hands
    const open = [...el.querySelectorAll("details")].flatMap((d, i) => d.open ? [i] : []); // a ladder grows at its end
    const at = [...el.querySelectorAll("summary")].indexOf(document.activeElement);
    const across = el.querySelector(".ladder-scroll")?.scrollLeft;
    el.innerHTML = html;
    for (const i of open) el.querySelectorAll("details")[i]?.setAttribute("open", "");
    if (at >= 0) el.querySelectorAll("summary")[at]?.focus({ preventScroll: true });
    if (across) el.querySelector(".ladder-scroll")?.scrollTo(across, 0);
    localTimes(el);
  }
  // Calls in progress: rows come, change and go; their bars and times move on by this page's own clock, set by the server's.
  const calls = document.querySelector("[data-calls]");
  let ahead = 0; // of our clock before the server's, in milliseconds
  function tick() {
    const now = Date.now() - ahead;
    const span = Number(calls.dataset.span) * 60000;
    const at = (time) => 300 * (1 - Math.sqrt(Math.min(Math.max(now - time, 0), span) / span)); // as the server has it
    for (const el of calls.querySelectorAll("[data-since]")) {
      const s = Math.max(0, Math.round((now - Number(el.dataset.since)) / 1000));
      const two = (n) => String(n).padStart(2, "0");
      el.textContent = s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
    }
    for (const el of calls.querySelectorAll("rect[data-from]")) {
      const x = at(Number(el.dataset.from));
      el.setAttribute("x", x.toFixed(1));
      el.setAttribute("width", Math.max(0, at(Number(el.dataset.to) || now) - x).toFixed(1));
    }
  }
  function showCalls({ now, order, rows, counts, foot }) {
    if (!calls) return;
    ahead = Date.now() - now;
    const body = calls.querySelector("tbody");
    const have = new Map([...body.children].map((tr) => [tr.dataset.call, tr]));
    const shown = new Set(order);
    for (const [id, tr] of have) if (!shown.has(id)) tr.remove();
    let after = null; // the row before the next one
    for (const id of order) {
      let tr = have.get(id);
      if (rows && rows[id]) {
        const made = document.createElement("template");
        made.innerHTML = rows[id];
        const fresh = made.content.firstElementChild;
        if (!tr) fresh.classList.add("fresh");
        const held = tr?.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        tr?.replaceWith(fresh);
        if (held) fresh.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
        tr = fresh;
      }
      if (!tr) continue; // not told yet; the next update brings it
      const place = after ? after.nextElementSibling : body.firstElementChild;
      if (place !== tr) body.insertBefore(tr, place);
      after = tr;
    }
    calls.hidden = order.length === 0;
    document.querySelector("[data-calls-empty]").hidden = order.length > 0;
    document.querySelector("[data-call-foot]").hidden = foot === "";
    document.querySelector('[data-live="call-counts"]').innerHTML = counts;
    document.querySelector('[data-live="call-foot"]').innerHTML = foot;
    tick();
  }
  if (calls) {
    ahead = Date.now() - Number(calls.dataset.now);
    setInterval(() => { if (!document.hidden) tick(); }, 1000);
  }
  let events = null;
  function connect() {
    if (events || document.hidden) return;
    events = new EventSource(source.dataset.liveSource);
    events.addEventListener("open", () => tell("on", "Live"));
    events.addEventListener("part", (event) => {
      const { name, html } = JSON.parse(event.data);
      for (const el of document.querySelectorAll(`[data-live="${CSS.escape(name)}"]`)) replace(el, html);
    });
    events.addEventListener("device", (event) => {
      const { dn, state: html, phone } = JSON.parse(event.data);
      const row = document.querySelector(`[data-dn="${CSS.escape(dn)}"]`);
      if (!row) return;
      replace(row.querySelector('[data-part="state"]'), html);
      row.querySelector('[data-part="phone"]').textContent = phone;
      row.classList.remove("fresh");
      void row.offsetWidth; // restart the animation
      row.classList.add("fresh");
    });
    events.addEventListener("calls", (event) => showCalls(JSON.parse(event.data)));
    events.addEventListener("end", () => { // signed out, or the session has ended
      disconnect();
      tell("off", "Signed out");
    });
    events.addEventListener("error", () => {
      tell("off", "Reconnecting");
      if (events && events.readyState === EventSource.CLOSED) { // refused: too many pages are open
        disconnect();
        setTimeout(connect, 10000);
      }
    });
  }
  function disconnect() {
    events?.close();
    events = null;
  }
  localTimes(document);
  if (source) {
    connect();
    // A page nobody sees needs no updates, and browsers have few connections to one host.
    document.addEventListener("visibilitychange", () => { document.hidden ? disconnect() : connect(); });
    addEventListener("pagehide", disconnect);
    addEventListener("pageshow", connect);
  }
})();
