"""Dark or light: as the system has it until somebody presses; the browser remembers what they chose."""

from nicegui import app, ui

KEY = "streamrec-shade"
# Before anything is drawn, so that no page flashes in the other shade. A browser may forbid storage.
AT_START = f"""
try {{ const shade = localStorage.getItem("{KEY}"); if (shade) setDark(shade === "dark"); }} catch {{}}
"""
PRESSED = f"""() => {{
  const dark = !Quasar.Dark.isActive;
  setDark(dark);
  try {{ localStorage.setItem("{KEY}", dark ? "dark" : "light"); }} catch {{}}
}}"""


def remember() -> None:
    """All pages begin in the shade that was chosen. Once a process."""
    app.config.vue_config_script += AT_START


def button() -> ui.button:
    """Turns to the opposite of what is shown."""
    return ui.button("dark / light", color=None).on("click", js_handler=PRESSED)
