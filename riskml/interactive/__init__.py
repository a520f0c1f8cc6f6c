"""For notebooks and scripts: log → windows → report → alerts, each of which shows itself."""
