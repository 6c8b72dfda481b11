"""Roberts et al. (2018), https://arxiv.org/abs/1803.05428.

    python -m training.train music_vae_jsb_4bars_flat --bundle --data-dir DIR

`DIR/jsb_chorales_4bars` is made by `python -m training.data.jsb_chorales --bars 4`.
"""

from training.recipes.music_vae_jsb_4bars import RECIPE as WITH_CONDUCTOR

RECIPE = WITH_CONDUCTOR.with_overrides(
    config={**WITH_CONDUCTOR.config, "segment": None},
    description="Music VAE of four bars of Bach's chorales, no conductor.",
)
