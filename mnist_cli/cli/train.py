"""`mnist train`: teach a model, keep its checkpoint and its curves."""

from typing import Annotated

import typer

from mnist_cli.cli.terminal import DataDir, Device, repair_data, say
from mnist_cli.config import DATA_DIR, TrainConfig


def train(
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the 60,000 training images.")] = TrainConfig.epochs,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per optimizer step.")] = TrainConfig.batch_size,
    learning_rate: Annotated[float, typer.Option(help="Step size of Adam.")] = TrainConfig.learning_rate,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides the first weights and the order of the images.")
    ] = TrainConfig.seed,
    name: Annotated[str | None, typer.Option(help="Name of the run.", show_default="model and time")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run of that name.")] = False,
    device: Device = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Train a classifier and save it after every epoch.

    The checkpoint is checkpoints/NAME/last.pt, and its path is all that is printed on stdout. The curves are in
    runs/NAME, for TensorBoard.
    """
    from mnist_cli import checkpoints, data, devices, models, reporting, runs, training

    config = TrainConfig(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    place = devices.choose(device)
    repair_data(data_dir)
    train_digits, val_digits = data.load(data_dir, "train").to(place), data.load(data_dir, "val").to(place)
    model = models.build(config.model, seed=config.seed).to(place)
    trainer = training.Trainer(model, train_digits, val_digits, config)
    run = runs.create(name, config.model, overwrite)
    results = []
    say(f"Training {config.model} on {place} as {run.name}.")
    try:
        with reporting.RunReport(run.log_dir, config.epochs, len(train_digits)) as report:
            for result in trainer.epochs(report.advance):
                results.append(result)
                checkpoints.save(run.checkpoint_path, model, config, results, trainer.state_dict())
                report.epoch(result)
    except KeyboardInterrupt:
        kept = f"{run.checkpoint_path} holds epoch {trainer.epoch}" if results else "no epoch was finished"
        say(f"Stopped; {kept}.")
        raise typer.Exit(130) from None
    typer.echo(run.checkpoint_path)
    say(
        f"Next: mnist evaluate {run.checkpoint_path}, mnist predict digit.png, tensorboard --logdir {run.log_dir.parent}"
    )
