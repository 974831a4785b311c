"use strict";
// Runs before the first paint: says that scripts work, and applies the theme that was chosen on this machine.
document.documentElement.classList.add("js");
const themes = {
  get() {
    try { return localStorage.getItem("wattproof-theme"); } catch { return null; }
  },
  set(theme) {
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("wattproof-theme", theme); } catch { /* a browser that keeps nothing */ }
  },
};
if (["light", "dark"].includes(themes.get())) themes.set(themes.get());
addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const prefers = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (prefers.matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    themes.set(dark() ? "light" : "dark");
    label();
  });
  prefers.addEventListener("change", label);
  label();
});
