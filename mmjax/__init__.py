"""mmjax: models that look at an image and write a sequence, in JAX."""
