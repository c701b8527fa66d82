// Runs before the first paint, so that a page never appears in another theme than the chosen one.

(() => {
  const THEMES = ["calm", "soft", "dark"];
  const SIZES = ["small", "normal", "large", "larger", "largest"];
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
    theme: stored("theme", THEMES) ?? "system",
    size: stored("text-size", SIZES) ?? "normal",
    set(name, value) {
      this[name] = value;
      keep(name === "theme" ? "theme" : "text-size", value === "system" || value === "normal" ? null : value);
      this.apply();
    },
    apply() {
      const theme = this.theme === "system" ? (dark.matches ? "dark" : "calm") : this.theme;
      const changed = root.dataset.theme !== theme;
      root.dataset.theme = theme;
      root.dataset.size = this.size;
      if (changed) root.dispatchEvent(new Event("theme")); // what is drawn on canvases is drawn again
    },
  };
  window.look.apply();
  dark.addEventListener("change", () => window.look.apply());
  addEventListener("storage", () => {
    window.look.theme = stored("theme", THEMES) ?? "system";
    window.look.size = stored("text-size", SIZES) ?? "normal";
    window.look.apply();
  });
})();
