"""Bundles in MLflow's model registry: registered once, found by alias, checked when read."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riskml.core.errors import BundleError, ConfigError, did_you_mean
from riskml.core.mlflow_client import (
    SQLITE,
    asking,
    connect,
    experiment_id,
    require_store,
    told_uri,
)
from riskml.export.bundle import REQUIRED, Bundle, load_bundle
from riskml.export.manifest import read_manifest
from riskml.export.seal import SEAL, bundle_key

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
STORE = f"{SQLITE}outputs/mlflow.db"
"""As runs have it, unless `MLFLOW_TRACKING_URI` names another."""

EXPERIMENT, ARTIFACTS = "riskml", "mlartifacts"
MODEL = "model"
"""Folder of the MLflow model among the files of a run."""

SEAL_TAG, DETECTOR_TAG, DATA_TAG = "riskml.seal", "riskml.detector", "riskml.data"
_ADDRESS = re.compile(r"models:/(?P<name>[^/:@]+)(@(?P<alias>[^/:@]+)|/(?P<version>[1-9]\d*))")


@dataclass(frozen=True)
class Registered:
    """A version of a model in the registry.

    Args:
        name: of the model.
        version: its number, as text.
        aliases: that point to it, sorted.
        seal: of the bundle's manifest.
        detector, data: as the manifest says.
        created: milliseconds since 1970.
        new: whether this call made it.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    seal: str
    detector: str
    data: str
    created: int
    new: bool = False


class Registry:
    """The model registry of an MLflow store.

    Args:
        store: its URI; None: what MLflow was told (`mlflow.set_tracking_uri`,
            `MLFLOW_TRACKING_URI`), else `outputs/mlflow.db`.
        makes: whether a store in a file that is not there is made; who only looks makes none.

    Raises:
        ConfigError: MLflow is not installed, or there is no store.
    """

    def __init__(self, store: str | None = None, makes: bool = False) -> None:
        try:
            self.store = store or told_uri() or STORE
            if not makes:
                require_store(self.store)
            self._client = connect(self.store)
        except ModuleNotFoundError as error:
            remedy = "pip install 'riskml[train]', or give the folder of a bundle"
            raise ConfigError(f"the model registry needs {error.name}: {remedy}") from error

    def register(
        self, folder: Path, name: str, alias: str | None = None, run_id: str = ""
    ) -> Registered:
        """Make a bundle the next version of a model; the same bundle again is the same version.

        Args:
            folder: of the bundle; it is checked as a serving job would.
            name: of the model, made where there is none.
            alias: that points to it from then on.
            run_id: of the run that it comes from; a run of its own unless given.

        Raises:
            BundleError: it would not be loaded, or is of a format without a seal.
            ConfigError: MLflow refuses name or alias.
        """
        bundle = load_bundle(folder)
        seal = bundle.manifest.get(SEAL)
        if seal is None:
            raise BundleError(f"{folder} has no seal to be known by: export it anew, as format 3")
        with asking(f"registering {name}"):
            found = self._sealed(name, seal)
            new = found is None
            if found is None:
                found = self._upload(bundle, folder, name, run_id)
            if alias is not None:
                self._client.set_registered_model_alias(name, alias, found.version)
            return _registered(self._client.get_model_version(name, found.version), new)

    def alias(self, name: str, version: str, alias: str) -> None:
        """Let an alias point to a version, in one step: there is no moment without.

        Raises:
            ConfigError: there is no such model or version, or the alias is no name.
        """
        with asking(f"models:/{name}/{version}"):
            self._client.set_registered_model_alias(name, alias, version)

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias point nowhere; nothing happens where it does already.

        Raises:
            ConfigError: there is no such model.
        """
        with asking(f"models:/{name}@{alias}"):
            self._client.delete_registered_model_alias(name, alias)

    def version(self, name: str, alias: str) -> Registered:
        """The version that an alias points to.

        Raises:
            ConfigError: there is no such model or alias, or no bundle of ours behind it.
        """
        return _registered(self._find(f"models:/{name}@{alias}"))

    def run_file(self, name: str, version: str, file: str) -> str:
        """Text of a file of the run that a version comes from.

        Raises:
            ConfigError: there is no such version, or its run has no such file.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        with (
            asking(f"models:/{name}/{version}"),
            tempfile.TemporaryDirectory() as draft,
        ):
            run = self._client.get_model_version(name, version).run_id
            given = {"run_id": run, "artifact_path": file, "tracking_uri": self.store}
            try:
                return Path(download_artifacts(**given, dst_path=draft)).read_text(encoding="utf-8")
            except (MlflowException, OSError) as error:
                raise ConfigError(
                    f"models:/{name}/{version}: its run has no {file}: register it by "
                    f"`python train.py register={name}`, which keeps its settings"
                ) from error

    @property
    def files(self) -> str | None:
        """Folder for files of new experiments; None: where the store says."""
        if not self.store.startswith(SQLITE):
            return None
        return str(Path(self.store.removeprefix(SQLITE)).resolve().parent / ARTIFACTS)

    def champion(self, name: str) -> str | None:
        """Which version of a model is the champion; None: none.

        Raises:
            ConfigError: there is no such model.
        """
        with asking(f"models:/{name}"):
            aliases = self._client.get_registered_model(name).aliases
        found = aliases.get(CHAMPION)
        return None if found is None else str(found)

    def versions(self, name: str | None = None) -> list[Registered]:
        """Bundles of one model or of all, the newest version of each first.

        Raises:
            ConfigError: there is no such model.
        """
        with asking(f"listing {name or 'models'}"):
            models = self._all(self._client.search_registered_models, None)
            names = [str(model.name) for model in models]
            if name is not None and name not in names:
                known = did_you_mean(name, names) if names else "there are none"
                raise ConfigError(f"the registry has no model '{name}': {known}")
            found = [
                self._client.get_model_version(each.name, each.version)  # searches know no aliases
                for each_name in sorted(names if name is None else [name])
                for each in self._all(self._client.search_model_versions, f"name = '{each_name}'")
                if SEAL_TAG in each.tags
            ]
        return [_registered(each) for each in found]

    def find(self, address: str) -> Registered:
        """The version that an address means at present.

        Args:
            address: `models:/NAME@alias` or `models:/NAME/VERSION`.

        Raises:
            ConfigError: there is no such model.
        """
        found = self._find(address)
        with asking(address):  # what an alias gives knows no aliases
            return _registered(self._client.get_model_version(found.name, found.version))

    def fetch(self, address: str, out: Path) -> Path:
        """Download a bundle into a folder that appears when it is whole and checked.

        Args:
            address: `models:/NAME@alias` or `models:/NAME/VERSION`.
            out: folder; one that holds this very bundle already stays as it is.

        Raises:
            ConfigError: there is no such model, or `out` is something else.
            BundleError: what came is not what was registered, or would not be loaded.
        """
        version = self._find(address)
        if out.exists():
            if read_manifest(out, REQUIRED, bundle_key()).get(SEAL) == version.tags[SEAL_TAG]:
                return out
            raise ConfigError(f"{out} is there already and holds another bundle: name a new folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as draft:
            folder, _ = self._download(version, Path(draft))
            return folder.rename(out)

    def load(self, address: str, runtime: str | None = None) -> Bundle:
        """Download, check and read a bundle; nothing of it stays on the disk.

        Args:
            address: `models:/NAME@alias` or `models:/NAME/VERSION`.
            runtime: see `load_bundle`.

        Raises:
            ConfigError, BundleError: as of `fetch`.
        """
        version = self._find(address)
        with tempfile.TemporaryDirectory() as draft:
            return self._download(version, Path(draft), runtime)[1]

    def _download(
        self, version: ModelVersion, draft: Path, runtime: str | None = None
    ) -> tuple[Path, Bundle]:
        from mlflow.artifacts import download_artifacts

        what = f"models:/{version.name}/{version.version}"
        with asking(what):
            root = self._client.get_model_version_download_uri(version.name, version.version)
            place = f"{root.rstrip('/')}/artifacts/bundle"
            found = download_artifacts(place, dst_path=str(draft), tracking_uri=self.store)
        bundle = load_bundle(found, runtime)
        if bundle.manifest.get(SEAL) != version.tags[SEAL_TAG]:
            raise BundleError(f"{what} was changed: its bundle is not the one that was registered")
        return Path(found), bundle

    def _find(self, address: str) -> ModelVersion:
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise ConfigError(f"{address}: write models:/NAME@{CHAMPION} or models:/NAME/1")
        name, alias, number = match.group("name", "alias", "version")
        named = f", and riskml registry alias {name} VERSION {alias}" if alias else ""
        with asking(address, f"see riskml registry list{named}"):
            if alias is not None:
                version = self._client.get_model_version_by_alias(name, alias)
            else:
                version = self._client.get_model_version(name, number)
        if SEAL_TAG not in version.tags:
            raise ConfigError(f"{address} is no bundle of riskml: see riskml registry list")
        return version

    def _sealed(self, name: str, seal: str) -> ModelVersion | None:
        """The oldest version that is this bundle."""
        found = self._all(self._client.search_model_versions, f"name = '{name}'")
        same = [each for each in found if each.tags.get(SEAL_TAG) == seal]
        return min(same, key=lambda each: int(each.version), default=None)

    def _upload(self, bundle: Bundle, folder: Path, name: str, run_id: str) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        from riskml.export.mlflow_saving import BUNDLE, save_model

        manifest = bundle.manifest
        tags = {
            SEAL_TAG: manifest[SEAL],
            DETECTOR_TAG: str(manifest.get("detector", "")),
            DATA_TAG: str(manifest.get("data", "")),
        }
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        run = run_id or self._begin(name)
        with tempfile.TemporaryDirectory() as draft:
            # MLflow writes down where it had the files from: no folder of this machine's people
            copy = Path(shutil.copytree(folder, Path(draft) / BUNDLE))
            save_model(bundle, copy, Path(draft) / MODEL)
            self._client.log_artifacts(run, str(Path(draft) / MODEL), MODEL)
        if not run_id:
            self._client.set_terminated(run, "FINISHED")
        source = f"{self._client.get_run(run).info.artifact_uri.rstrip('/')}/{MODEL}"
        made = self._client.create_model_version(name, source, run_id=run, tags=tags)
        first = self._sealed(name, manifest[SEAL])
        if first is not None and first.version != made.version:
            # somebody registered the same bundle at the same time, and was first
            self._client.delete_model_version(name, made.version)
            return first
        return made

    def _begin(self, name: str) -> str:
        """A run that holds the files."""
        experiment = experiment_id(self._client, EXPERIMENT, self.files)
        run = self._client.create_run(experiment, run_name=f"register {name}")
        return str(run.info.run_id)

    @staticmethod
    def _all(search: Any, chosen: str | None) -> list[Any]:
        """Of all pages."""
        found: list[Any] = []
        token = None
        while True:
            page = search(filter_string=chosen, page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                return found


def _registered(version: ModelVersion, new: bool = False) -> Registered:
    tags = version.tags
    return Registered(
        version.name,
        str(version.version),
        tuple(sorted(version.aliases)),
        tags[SEAL_TAG],
        tags.get(DETECTOR_TAG, ""),
        tags.get(DATA_TAG, ""),
        int(version.creation_timestamp),
        new,
    )
