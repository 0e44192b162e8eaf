"""The colour of each severity, the same in every channel that has colours."""

# Behind white letters, each with a contrast of at least 4.5 (https://www.w3.org/TR/WCAG22/#contrast-minimum).
COLORS = {"critical": "#b3261e", "warning": "#995c00", "info": "#1f5fa8", "success": "#1e7b34"}
