"""`spectralvision compare`."""

from pathlib import Path
from typing import Any, ClassVar

from spectralvision.commands import Command, print_line, print_table, require_train_packages
from spectralvision.data.shard_columns import Columns
from spectralvision.report.text import pluralize
from spectralvision.runs import UserError, expand_user, format_duration, require_extra, suggest
from spectralvision_cli.options.compare import CompareOptions

FOLDER = "comparisons"


class Compare(Command[CompareOptions]):
    """Compare mixers in one network."""

    verb: ClassVar[str] = "compare"
    kind = CompareOptions

    def run(self) -> dict[str, Any]:
        """Train and measure the variants; return what compare.json holds."""
        require_train_packages()
        require_extra("train", "matplotlib")
        from spectralvision.report.comparison_page import write_comparison
        from spectralvision.tasks.comparing import check_data, compare, open_folder

        config = self._config()
        config.check()
        if self.options.dry_run:
            return {"dry_run": True, "settings": config.settings()}
        check_data(config)  # before there is a folder
        folder = open_folder(self._folder())
        record = compare(config, folder)
        return {**record, "out": str(folder), "files": write_comparison(folder, record)}

    def _preset(self) -> str:
        """Return the name of the preset."""
        from spectralvision.recipes.compare_mixers import PRESETS

        options = self.options
        if len(options.preset) > 1:
            raise UserError(f"compare takes one preset, not {' and '.join(options.preset)}.")
        preset = options.preset[0] if options.preset else "mixers"
        known = ("mixers", *PRESETS)
        if preset not in known:
            hint = suggest(preset, known, "the presets are")
            raise UserError(f"{preset} is not a preset of compare: {hint}")
        if options.mixers and preset != "mixers":
            raise UserError(f"--mixers is for the preset mixers, not for {preset}: leave it out.")
        return preset

    def _config(self) -> Any:
        """Return the settings."""
        from spectralvision.mixers import named_mixer
        from spectralvision.recipes.compare_mixers import PRESETS, compare_mixers
        from spectralvision.tasks.comparison import CompareConfig

        options, preset = self.options, self._preset()
        for name in options.mixers:
            try:
                named_mixer(name)
            except ValueError as error:
                raise UserError(f"--mixers {name}: {error}.") from None
        if len(set(options.mixers)) < len(options.mixers):
            raise UserError("--mixers has a name twice: name each once.")
        comparison = compare_mixers(options.mixers) if preset == "mixers" else PRESETS[preset]
        return CompareConfig(
            comparison=comparison,
            data=options.data,
            data_dir=options.data_dir,
            columns=Columns(options.image_column, options.label_column),
            seeds=options.seeds,
            epochs=options.epochs,
            budget=options.budget,
            num_images=options.num_images,
            input_size=options.input_size,
            batch_size=options.batch_size,
            lr=options.lr,
            sizes=tuple(sorted(set(options.sizes))),
            rounds=options.rounds,
            device=options.device,
        )

    def _folder(self) -> Path:
        """Return the folder to write or to resume."""
        if self.options.out is not None:
            return expand_user(self.options.out)
        return Path(FOLDER) / f"{self._preset()}-{Path(self.options.data).name}"

    def show(self, result: dict[str, Any]) -> None:
        """Print the table, or what would be trained."""
        from spectralvision.report.comparison_page import PAGE, result_table

        if result.get("dry_run"):
            self._show_plan(result["settings"])
            return
        print_table(result_table(result))
        print_line(f"written  {result['out']}/{PAGE}")

    def _show_plan(self, settings: dict[str, Any]) -> None:
        """Print what would be trained, and how long that takes."""
        comparison, variants = settings["comparison"], settings["variants"]

        def show(arguments: dict[str, Any]) -> str:
            return ", ".join(f"{name} {value}" for name, value in arguments.items())

        print_line(f"network  {comparison['host']} {show(comparison['host_args'])}".rstrip())
        for name, arguments in variants.items():
            known = {} if arguments == {"mixer_layer": name} else arguments
            print_line(f"variant  {name}".ljust(30 * bool(known)) + f" {show(known)}".rstrip())
        count = settings["seeds"] * len(variants)
        seeds = pluralize(settings["seeds"], "seed")
        if settings["epochs"] == "auto":
            each, whole = (format_duration(60 * n * settings["budget"]) for n in (1, count))
            duration = f"about {each} each (--budget), {whole} in all, plus the measurements"
        else:
            duration = f"{pluralize(settings['epochs'], 'epoch')} each"
        print(f"train    {pluralize(count, 'training')} ({seeds} of each variant), {duration}")
        print("nothing was trained or written (--dry-run)")
