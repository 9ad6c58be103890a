// Sets the chosen theme before the page is painted. No choice follows the system.
(function () {
  try {
    var t = localStorage.getItem("millrace-theme");
    if (t === "light" || t === "dark") document.documentElement.dataset.theme = t;
  } catch (e) { /* storage may be forbidden: follow the system */ }
})();
