// Runs before the first paint, so that a page never appears in another theme than the chosen one.

(() => {
  const THEMES = ["calm", "soft", "dark"];
  const SIZES = ["small", "normal", "large", "larger", "largest"];
  const KEYS = ["on", "off"];
  const KEPT_AS = { theme: "theme", size: "text-size", keys: "shortcuts" };
  const USUAL = { theme: "system", size: "normal", keys: "on" };
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const stored = (key, known) => {
    try {
      const value = localStorage.getItem(key);
      return known.includes(value) ? value : null;
    } catch {
      return null; // a browser that keeps nothing for this site
    }
  };
  const keep = (key, value) => {
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, value);
    } catch {
      // It then holds for this page only.
    }
  };

  window.look = {
    /** "calm", "soft" or "dark"; "system" where nobody chose: calm, or dark where the system is. */
    theme: stored("theme", THEMES) ?? USUAL.theme,
    size: stored("text-size", SIZES) ?? USUAL.size,
    /** Whether single keys are shortcuts; shortcuts.js asks. */
    keys: stored("shortcuts", KEYS) ?? USUAL.keys,
    set(name, value) {
      this[name] = value;
      keep(KEPT_AS[name], value === USUAL[name] ? null : value);
      this.apply();
    },
    apply() {
      const theme = this.theme === "system" ? (dark.matches ? "dark" : "calm") : this.theme;
      const changed = root.dataset.theme !== theme;
      root.dataset.theme = theme;
      root.dataset.size = this.size;
      root.dataset.keys = this.keys;
      if (changed) root.dispatchEvent(new Event("theme")); // what is drawn on canvases is drawn again
    },
  };
  window.look.apply();
  dark.addEventListener("change", () => window.look.apply());
  addEventListener("storage", () => {
    window.look.theme = stored("theme", THEMES) ?? USUAL.theme;
    window.look.size = stored("text-size", SIZES) ?? USUAL.size;
    window.look.keys = stored("shortcuts", KEYS) ?? USUAL.keys;
    window.look.apply();
  });
})();
