"""How a backtest does its work: units, processes side by side, parts that are kept."""
