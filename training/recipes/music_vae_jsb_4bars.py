"""Roberts et al. (2018), https://arxiv.org/abs/1803.05428.

    python -m training.train music_vae_jsb_4bars --bundle --data-dir DIR

`DIR/jsb_chorales_4bars` is made by `python -m training.data.jsb_chorales --bars 4`.
"""

from training.recipes.music_vae_jsb import RECIPE as TWO_BARS

RECIPE = TWO_BARS.with_overrides(
    config={**TWO_BARS.config, "modality": {"kind": "music", "steps": 32}},
    description="Music VAE of four bars of Bach's chorales, with a conductor.",
    dataset="jsb_chorales_4bars",
    validation_examples=906,
)
