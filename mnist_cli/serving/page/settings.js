// The language and the theme: the visitor's choice, or else the browser's. A choice is kept in local storage, under names
// that no other page on this port uses; nothing is kept where the browser forbids it.

const THEMES = ["light", "dark"];
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

/** The language to begin with, of those that have strings. */
export function firstLanguage(strings) {
  return [remembered("language"), navigator.language.slice(0, 2)].find((one) => one in strings) ?? "en";
}

export const otherLanguage = (language) => (language === "en" ? "zh" : "en");

export function remember(key, value) {
  try {
    localStorage.setItem(`mnist-${key}`, value);
  } catch {
    // the setting lasts until the page is closed
  }
}

/** Apply the theme, let a button switch it, and call `changed` each time it does: canvases are not styled by CSS. */
export function manageTheme(button, changed) {
  const root = document.documentElement;
  if (THEMES.includes(remembered("theme"))) root.dataset.theme = remembered("theme");
  button.addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
    remember("theme", root.dataset.theme);
    changed();
  });
  systemIsDark.addEventListener("change", changed);
}

function remembered(key) {
  try {
    return localStorage.getItem(`mnist-${key}`);
  } catch {
    return null;
  }
}
