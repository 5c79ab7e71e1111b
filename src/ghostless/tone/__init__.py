"""From radiance to a display: tone mapping, the colour of the light, pictures for HDR displays."""
