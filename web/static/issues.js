// The pages about exceptions: selecting many, the keyboard, filters that apply by
// themselves. All of it works without this file, with a few more clicks.
"use strict";
(() => {
  const $ = (s, root = document) => root.querySelector(s);
  const $$ = (s, root = document) => [...root.querySelectorAll(s)];

  // Selecting ------------------------------------------------------------------

  function selected() {
    const form = $("form.bulk");
    if (!form) return;
    const boxes = $$('input[name="id"]', form), n = boxes.filter((b) => b.checked).length;
    const all = $("#all");
    if (all) {
      all.closest("label").hidden = false;
      all.checked = n > 0 && n === boxes.length;
      all.indeterminate = n > 0 && n < boxes.length;
    }
    const says = $(".selected", form);
    if (says) says.textContent = n ? n + " selected" : "";
  }

  document.addEventListener("change", (e) => {
    if (e.target.id === "all") for (const b of $$('form.bulk input[name="id"]')) b.checked = e.target.checked;
    if (e.target.closest("form.bulk")) selected();
    if (e.target.matches("form.filters select")) e.target.form.requestSubmit();
  });

  // Enter in a field of a menu does what the button beside it says.
  document.addEventListener("keydown", (e) => {
    if (e.key !== "Enter" || !e.target.matches(".field input")) return;
    e.preventDefault();
    $("button", e.target.closest(".field")).click();
  });

  // Keys: j and k step through issues or samples, x selects, o opens ------------

  let at = -1;
  function step(by) {
    const rows = $$(".issues tbody tr");
    if (!rows.length) return false;
    at = Math.max(0, Math.min(rows.length - 1, at + by));
    rows.forEach((r, i) => r.classList.toggle("at", i === at));
    rows[at].scrollIntoView({block: "nearest"});
    $(".name", rows[at]).focus({preventScroll: true});
    return true;
  }

  document.addEventListener("keydown", (e) => {
    if (e.target.closest("input, textarea, select") || e.ctrlKey || e.metaKey || e.altKey) return;
    const row = $$(".issues tbody tr")[at];
    if (e.key === "j" || e.key === "k") {
      if (step(e.key === "j" ? 1 : -1)) return;
      $(e.key === "j" ? "#older" : "#newer")?.click();
    } else if (e.key === "x" && row) {
      $('input[name="id"]', row)?.click();
    } else if (e.key === "o" && row) {
      $(".name", row).click();
    }
  });

  // Rules: #rules-7 is line 7 of a text, and is shown selected ------------------

  function toLine() {
    const m = /^#(rules|owners)-(\d+)$/.exec(location.hash), text = m && document.getElementById(m[1]);
    if (!text || !text.matches("textarea")) return;
    const lines = text.value.split("\n"), n = Math.min(lines.length, Number(m[2]));
    const from = lines.slice(0, n - 1).join("\n").length + (n > 1 ? 1 : 0);
    text.focus();
    text.setSelectionRange(from, from + lines[n - 1].length);
    text.scrollTop = Math.max(0, (n - 3) * parseFloat(getComputedStyle(text).lineHeight));
    text.scrollIntoView({block: "center"});
  }

  window.addEventListener("hashchange", toLine);
  document.addEventListener("click", (e) => {
    const a = e.target.closest(".problems a");
    if (!a) return;
    e.preventDefault();
    history.replaceState(history.state, "", a.hash);
    toLine();
  });

  document.addEventListener("htmx:after:swap", () => { at = -1; selected(); toLine(); });
  selected();
  toLine();
})();
