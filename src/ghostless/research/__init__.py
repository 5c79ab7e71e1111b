"""The upper floor: what researchers run. Nothing below it imports from here.

render, data --> train --> weights          scenes, cameras and panoramas; networks taught
metrics ------> bench                       results measured, beside those of others
onnx                                        networks for other programs
commands                                    the words of the command for all of it
"""
