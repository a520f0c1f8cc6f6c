"""Train, evaluate and export a detector: `python train.py --help`."""

from omegaconf import DictConfig

from riskml.core.entry import hydra_entry


@hydra_entry(config_name="train")
def main(cfg: DictConfig) -> None:
    """Run one training."""
    from riskml.runs.train import train  # slow to import: not before --help is answered

    train(cfg)


if __name__ == "__main__":
    main()
