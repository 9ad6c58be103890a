// The pages' own behaviour: times in the browser's zone, auto-refresh, theme,
// menus, zooming, following rows. Everything else is links and forms.
"use strict";
(() => {
  const $ = (s, root = document) => root.querySelector(s);
  const $$ = (s, root = document) => [...root.querySelectorAll(s)];

  // Times ------------------------------------------------------------------

  const two = (n) => String(n).padStart(2, "0");
  const day = (d) => d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate());
  const clock = (d) => two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());

  function ago(d) {
    const s = (Date.now() - d) / 1000;
    if (s < -60) return day(d) + " " + clock(d); // a clock that is ahead
    if (s < 2) return "just now";
    if (s < 60) return Math.floor(s) + " s ago";
    if (s < 3600) return Math.floor(s / 60) + " min ago";
    if (s < 86400) return Math.floor(s / 3600) + " h ago";
    if (s < 86400 * 30) return Math.floor(s / 86400) + " d ago";
    return day(d);
  }

  const forms = {
    full: (d) => day(d) + " " + clock(d),
    time: (d) => (day(d) === day(new Date()) ? "" : day(d) + " ") + clock(d),
    log: (d) => day(d).slice(5) + " " + clock(d) + "." + String(d.getMilliseconds()).padStart(3, "0"),
    ago,
  };

  function times(root = document) {
    for (const el of $$("time[data-form]", root)) {
      const d = new Date(el.dateTime);
      el.textContent = forms[el.dataset.form](d);
      el.title = day(d) + " " + clock(d) + " (" + el.dateTime + ")";
    }
    for (const el of $$("input[data-time]", root)) {
      const d = new Date(el.dataset.time);
      el.value = day(d) + "T" + two(d.getHours()) + ":" + two(d.getMinutes());
    }
    const zone = $("#zone");
    if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
  }

  // Going places -----------------------------------------------------------

  function go(url) {
    htmx.ajax("GET", url, {source: "#app", target: "#app", select: "#app", swap: "outerMorph", push: "true"});
  }

  const iso = (sec) => new Date(sec * 1000).toISOString().replace(".000Z", "Z");

  function goWith(path, set) {
    const u = new URL(path || location.href, location.href);
    u.search = path ? "" : location.search;
    for (const [k, v] of Object.entries(set)) u.searchParams.set(k, v);
    u.searchParams.delete("cursor");
    go(u.pathname + u.search);
  }

  document.addEventListener("millrace:zoom", (e) => goWith("", {from: iso(e.detail.from), to: iso(e.detail.to)}));
  document.addEventListener("millrace:logs", (e) =>
    goWith("/logs", {q: e.detail.q, from: iso(e.detail.from), to: iso(e.detail.to)}));

  document.addEventListener("submit", (e) => {
    if (e.target.id !== "custom") return;
    e.preventDefault();
    const from = new Date(e.target.from.value), to = new Date(e.target.to.value);
    if (from >= to) {
      e.target.to.setCustomValidity("must be after From");
      e.target.to.reportValidity();
      return;
    }
    closeMenus();
    goWith("", {from: iso(from / 1000), to: iso(to / 1000)});
  });
  document.addEventListener("input", (e) => e.target.setCustomValidity?.(""));

  // Menus ------------------------------------------------------------------

  function closeMenus(except) {
    for (const m of $$("details.menu[open]")) if (m !== except) m.open = false;
  }
  document.addEventListener("click", (e) => {
    const menu = e.target.closest("details.menu");
    closeMenus(e.target.closest(".drop a") ? null : menu);
    if (e.target.closest("#theme")) nextTheme();
    if (e.target.closest("#reload")) { closeMenus(); refresh(); }
    if (e.target.closest("#tail")) toggleTail(e.target.closest("#tail"));
    const copy = e.target.closest(".copy");
    if (copy) {
      navigator.clipboard?.writeText(copy.previousElementSibling.textContent).then(() => { copy.textContent = "Copied"; }, () => {});
    }
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") {
      const open = $("details.menu[open]");
      if (open) { open.open = false; $("summary", open).focus(); }
    }
    if (e.target.closest("input, textarea, select") || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "r") refresh();
    if (e.key === "/" && $("#q")) { e.preventDefault(); $("#q").focus(); }
  });

  // Theme: the system's, or the other one --------------------------------------

  const dark = matchMedia("(prefers-color-scheme: dark)");

  function nextTheme() {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    const next = isDark ? "light" : "dark";
    const follow = (next === "dark") === dark.matches;
    if (follow) delete root.dataset.theme; else root.dataset.theme = next;
    try {
      if (follow) localStorage.removeItem("millrace-theme"); else localStorage.setItem("millrace-theme", next);
    } catch (e) { /* then it lasts until the page is left */ }
    charts.redraw();
  }
  dark.addEventListener("change", () => charts.redraw());

  // Loading, refreshing, failing -----------------------------------------------

  let busy = 0, slow = 0;
  function loading(on) {
    busy = Math.max(0, busy + (on ? 1 : -1));
    clearTimeout(slow);
    const bar = $("#progress");
    // Quick answers need no sign of work.
    if (busy > 0) slow = setTimeout(() => { bar.hidden = false; $("#main").setAttribute("aria-busy", "true"); }, 150);
    else { bar.hidden = true; $("#main").removeAttribute("aria-busy"); }
  }

  function toast(text) {
    const t = $("#toast");
    t.textContent = text;
    t.hidden = !text;
  }

  const period = {"5s": 5e3, "10s": 1e4, "30s": 3e4, "1m": 6e4, "5m": 3e5};
  let timer = 0, quiet = false;

  function schedule() {
    clearTimeout(timer);
    const every = period[$("#app").dataset.refresh];
    if (every) timer = setTimeout(tick, every);
  }

  // A refresh must not pull the page from under someone's hands.
  function inUse() {
    return document.hidden || tailing || $("details.menu[open]") || document.activeElement?.matches("input:not([type=hidden]), textarea, select") ||
      $("form.bulk input:checked, .fingerprints input:checked, .flash") || $("#note")?.value ||
      String(getSelection()) !== "";
  }

  function tick() {
    if (inUse()) schedule(); else refresh();
  }

  function refresh() {
    quiet = true;
    htmx.ajax("GET", location.pathname + location.search, {source: "#app", target: "#app", select: "#app", swap: "outerMorph"});
  }

  document.addEventListener("htmx:before:request", () => { if (!quiet) loading(true); });
  document.addEventListener("htmx:finally:request", () => { loading(false); quiet = false; schedule(); });
  document.addEventListener("htmx:before:swap", (e) => {
    const answer = e.detail.ctx?.response;
    // Another page has no place for the focus, and Chromium 156 crashes where the
    // focused link is moved about while one page becomes another.
    if (answer?.raw && new URL(answer.raw.url).pathname !== path && document.activeElement?.matches("a")) document.activeElement.blur();
    // A session that has ended leads to the login form, which is a page of its own.
    if (answer?.raw?.redirected && new URL(answer.raw.url).pathname === "/login") {
      e.preventDefault();
      location.href = "/login?next=" + encodeURIComponent(location.pathname + location.search);
    }
  });
  document.addEventListener("htmx:error", () => toast("The server does not answer. What you see is from before."));
  document.addEventListener("htmx:response:error", () => toast("The server answered with an error. What you see is from before."));

  let path = location.pathname;
  document.addEventListener("htmx:after:swap", () => {
    toast("");
    times();
    charts.sync();
    if (location.pathname !== path) {
      path = location.pathname;
      scrollTo(0, 0);
      stopTail();
    }
  });

  // Following rows -------------------------------------------------------------

  const MAX_FOLLOWED = 500;
  let tailing = null;

  function stopTail() {
    tailing?.close();
    tailing = null;
    $("#tail")?.setAttribute("aria-pressed", "false");
  }

  function toggleTail(button) {
    if (tailing) { stopTail(); return; }
    const q = new URLSearchParams({q: $("#q").value});
    tailing = new EventSource("/api/v1/logs/tail?" + q);
    button.setAttribute("aria-pressed", "true");
    tailing.addEventListener("event", (e) => addRow(JSON.parse(e.data)));
    tailing.addEventListener("skipped", () => toast("Too many rows to follow: some are left out."));
    tailing.addEventListener("error", (e) => {
      if (e.data) toast(JSON.parse(e.data).detail);
      if (e.data || tailing?.readyState === EventSource.CLOSED) stopTail();
    });
  }

  function addRow(e) {
    const rows = $("#rows");
    if (!rows) return;
    $("#norows")?.remove();
    const li = document.createElement("li"), details = document.createElement("details"), summary = document.createElement("summary");
    const t = document.createElement("time"), src = document.createElement("span"), msg = document.createElement("span");
    t.dateTime = e.time;
    t.dataset.form = "log";
    src.className = "src";
    src.textContent = e.service || e.source;
    msg.className = "msg";
    msg.textContent = e.message.split("\n", 1)[0];
    summary.append(t, src, msg);
    const dl = document.createElement("dl");
    dl.className = "attrs";
    const fields = {kind: e.kind, source: e.source, host: e.host, level: e.level, trace_id: e.trace_id, ...e.attrs};
    for (const [k, v] of Object.entries(fields)) {
      if (v === "" || v == null) continue;
      const div = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = k;
      dd.textContent = typeof v === "object" ? JSON.stringify(v) : v;
      div.append(dt, dd);
      dl.append(div);
    }
    details.append(summary, dl);
    li.className = "fresh" + (/^(error|fatal|critical)$/.test(e.level) || e.kind === "exception" ? " bad" : "");
    li.append(details);
    rows.prepend(li);
    times(li);
    while (rows.children.length > MAX_FOLLOWED) rows.lastChild.remove();
  }

  // Start ----------------------------------------------------------------------

  times();
  charts.sync();
  schedule();
  setInterval(() => { for (const el of $$('time[data-form="ago"]')) el.textContent = ago(new Date(el.dateTime)); }, 10e3);
})();
