"""Evaluate a run or a model beside the baselines: `python evaluate.py --help`."""

from omegaconf import DictConfig

from riskml.core.entry import hydra_entry


@hydra_entry(config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Run one evaluation."""
    from riskml.runs.evaluate import evaluate  # slow to import: not before --help is answered

    evaluate(cfg)


if __name__ == "__main__":
    main()
