"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // A link into a closed export opens it, also where the browser does not do so by itself.
  const reveal = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const details = target && target.closest("details");
    if (details && !details.open) {
      details.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();

  const copied = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      return document.execCommand("copy");
    }
  };
  for (const button of all("button.copy")) {
    button.hidden = false;
    const label = button.firstChild;
    button.addEventListener("click", async () => {
      const done = await copied(button.parentElement.querySelector("code"));
      label.data = done ? "Copied" : "Selected";
      setTimeout(() => { label.data = "Copy"; }, 2000);
    });
  }

  const form = document.getElementById("filter");
  const query = document.getElementById("q");
  const articles = all("article.export").map((article) => ({
    article,
    row: document.querySelector(`tr[data-export="${article.dataset.export}"]`),
    head: (article.querySelector("summary").textContent + " " +
      (article.querySelector(".facts .c")?.textContent ?? "")).toLowerCase(),
    modules: null,
  }));
  // Read on the first search only: a page of 100 exports has tens of thousands of modules.
  const modulesOf = (item) => item.modules ??= all(".tree li:not(.hint)", item.article).map((li) => ({
    li,
    text: (li.querySelector(".n").textContent + " " + (li.querySelector(".c")?.textContent ?? "")).toLowerCase(),
  }));
  const apply = () => {
    const words = query.value.trim().toLowerCase();
    const wanted = new Set(all("input[name=verdict]:checked", form).map((box) => box.value));
    let shown = 0;
    let hits = 0;
    for (const item of articles) {
      let match = !words || item.head.includes(words);
      if (words || item.modules) {
        for (const { li, text } of modulesOf(item)) {
          const hit = Boolean(words) && text.includes(words);
          li.classList.toggle("hit", hit);
          if (!hit) continue;
          hits += 1;
          match = true;
          for (let up = li.parentElement.closest("details"); up; up = up.parentElement.closest("details")) {
            up.open = true;
          }
        }
      }
      match = match && wanted.has(item.article.dataset.verdict);
      item.article.hidden = !match;
      if (item.row) item.row.hidden = !match;
      shown += match;
    }
    document.getElementById("nothing").hidden = shown > 0;
    document.getElementById("found").textContent =
      `${shown} of ${articles.length} shown` + (words ? `, ${hits} module${hits === 1 ? "" : "s"} found` : "");
  };
  let timer = 0;
  query.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 150); });
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
})();
