"""Draws the pictures of the embedded market place: parametric cars, shaded in software with numpy and Pillow.

Superellipsoid boxes are bent into body, cabin, seats and mirrors; wheels are lathed profiles. A vectorised depth buffer
keeps the position and normal behind each pixel; what a pixel is (paint, glass, lamp, grille, plate, door gap) is then
decided by rules in car coordinates, so that edges stay sharp on a coarse mesh. Shading is deferred: sun with a soft
shadow map, sky light with ambient occlusion, Fresnel reflections of a drawn street panorama, and supersampling.

Car coordinates are metres: x runs from nose to tail, y to the car's right, z up.
"""
