"""A page in the browser on which people move through what a model has learnt.

`shelf` holds models, `views` computes what the page shows and `neighbours` looks into
training data, all without a page; `app` is the page, by Gradio, and `space` the same
page as a Hugging Face Space. Needs `pip install "aezoo[explore]"`.
"""

EXTRA = "explore"
