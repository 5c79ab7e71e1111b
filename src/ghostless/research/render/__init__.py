"""Scenes of our own, rendered in HDR with everything known: depth, what is seen where, motion.

    surfaces --> shapes --> room | scenes --> engine (Mitsuba 3) --> files

`room` is the demo's, `scenes` draws random ones for training, lit by a panorama. It needs the extra
`render`: Mitsuba for the light, Open Image Denoise for what noise is left. Layer: data.
"""
