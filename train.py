"""Train, evaluate and export a detector: `python train.py --help`."""

from omegaconf import DictConfig

from riskml.core.entry import hydra_entry


@hydra_entry(config_name="train")
def main(cfg: DictConfig) -> None:
    """Run one training, or a sweep of many."""
    # slow to import: not before --help is answered
    if cfg.get("sweep") is not None:
        from riskml.runs.sweeps.command import sweep

        sweep(cfg)
        return
    from riskml.runs.train import train

    train(cfg)


if __name__ == "__main__":
    main()
