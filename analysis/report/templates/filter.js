const filters = document.getElementById("filters");
if (filters) {
  const inputs = [...filters.querySelectorAll("[data-filter]")];
  const rows = new Map([...document.querySelectorAll("tr[data-of]")].map((row) => [`claim-${row.dataset.of}`, row]));
  const cards = [...document.querySelectorAll("article.card")];
  const fits = (card, name, value) =>
    name === "text" ? card.textContent.toLowerCase().includes(value.toLowerCase())
    : name === "study" ? card.dataset.study.split(" ").includes(value)
    : card.dataset[name] === value;
  const apply = () => {
    let shown = 0;
    for (const card of cards) {
      const keep = inputs.every((input) => !input.value || fits(card, input.dataset.filter, input.value));
      card.hidden = !keep;
      rows.get(card.id).hidden = !keep;
      shown += keep;
    }
    document.getElementById("shown").textContent = `${shown} of ${cards.length}`;
  };
  inputs.forEach((input) => input.addEventListener("input", apply));
  document.querySelectorAll("a[data-verdict]").forEach((link) => link.addEventListener("click", () => {
    inputs.forEach((input) => { input.value = link.dataset[input.dataset.filter] ?? ""; });
    apply();
  }));
  const reveal = () => {
    const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (card?.hidden) { inputs.forEach((input) => { input.value = ""; }); apply(); card.scrollIntoView(); }
    const fold = card?.closest("details");
    if (fold) { fold.open = true; card.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  filters.hidden = false;
  apply();
  reveal();
}
const contents = document.querySelector("nav.toc details");
if (contents && matchMedia("(max-width: 72rem)").matches) contents.open = false;
addEventListener("beforeprint", () => { for (const card of document.querySelectorAll("article.card, tr[data-of]")) card.hidden = false; });
