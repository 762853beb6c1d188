"""Builds the mesh of one car from its design: body, cabin, wheels, seats, mirrors and small parts."""

import math
from enum import IntEnum

import numpy as np

from tamis.demo.render.bodies import CarDesign
from tamis.demo.render.mesh import MeshBuilder, lathe, rounded_box
from tamis.demo.render.numerics import BoolArray, FloatArray, IntArray, lerp, smoothstep


class Part(IntEnum):
    """What a triangle belongs to; material rules start from it."""

    BODY = 0
    CABIN = 1
    TYRE = 2
    RIM = 3
    DARK = 4
    MIRROR = 5
    SEAT = 6
    TRIM = 7
    HANDLE = 8
    WELL = 9


class Car:
    """One car: its design, its mesh and the measures that rules of material and light refer to."""

    def __init__(self, design: CarDesign) -> None:
        self.design = design
        self.body = body = design.body
        self.axles_x = (body.front_overhang, body.front_overhang + body.wheelbase)
        self.arch_radius = body.wheel_radius * 1.12
        share, height = np.array(body.shoulder_line).T
        fine = np.linspace(0, 1, 400)
        window = np.hanning(25)
        rough = np.pad(np.interp(fine, share, height), 12, "edge")
        self._shoulder = fine * body.length, np.convolve(rough, window / window.sum(), "valid")
        builder = MeshBuilder()
        self._add_body(builder)
        self._add_cabin(builder)
        self._add_wheels(builder)
        self._add_interior(builder)
        for side in (-1, 1):
            self._add_side_parts(builder, side)
        self._add_tail_parts(builder)
        self.mesh = builder.build()

    @property
    def half_width(self) -> float:
        """Half of the body's width, in metres."""
        return self.body.width / 2

    @property
    def windscreen_foot(self) -> float:
        """Where the bonnet ends, in metres from the nose."""
        return self.body.windscreen[0] * self.body.length

    @property
    def bonnet_edge(self) -> float:
        """Height of the bonnet's front edge, in metres."""
        return float(self.shoulder_height(0.06))

    @property
    def tail_edge(self) -> float:
        """Height of the boot lid's or tailgate's rear edge, in metres."""
        return float(self.shoulder_height(self.body.length - 0.06))

    def shoulder_height(self, x: FloatArray | float) -> FloatArray:
        """Height of the body's upper edge at `x` metres from the nose."""
        return np.asarray(np.interp(x, *self._shoulder))

    def axle_distance(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """Distance to the nearer axle, seen from the side."""
        front, rear = (np.hypot(x - axle, z - self.body.wheel_radius) for axle in self.axles_x)
        return np.asarray(np.minimum(front, rear))

    def in_wheel_arch(self, part: IntArray, position: FloatArray) -> BoolArray:
        """Tell which points of the body are cut out for the wheels."""
        distance = self.axle_distance(position[:, 0], position[:, 2])
        outside = np.abs(position[:, 1]) > self.body.width * 0.27
        return np.asarray((part == Part.BODY) & (distance < self.arch_radius) & outside)

    def _nose_x(self, height_share: FloatArray, across: FloatArray) -> FloatArray:
        front = self.design.front
        profile = [0.10, 0.02, 0.0, 0.4 * front.nose_rake, front.nose_rake]
        return np.interp(height_share, [0, 0.22, 0.5, 0.8, 1], profile) + front.nose_rounding * across**3

    def _tail_x(self, height_share: FloatArray, across: FloatArray) -> FloatArray:
        rear = self.design.rear
        profile = [0.12, 0.02, 0.0, 0.03 + 0.3 * rear.tail_rake, 0.05 + rear.tail_rake]
        inward = np.interp(height_share, [0, 0.25, 0.5, 0.8, 1], profile) + rear.tail_rounding * across**4
        return np.asarray(self.body.length - inward)

    def _add_body(self, builder: MeshBuilder) -> None:
        body, length = self.body, self.body.length
        shell = rounded_box((90, 26, 28), (32, 8, 10))
        unit = shell.points
        height_share, across = (unit[:, 2] + 1) / 2, np.abs(unit[:, 1])
        x = lerp(self._nose_x(height_share, across), self._tail_x(height_share, across), (unit[:, 0] + 1) / 2)
        bottom = body.floor_height + 0.05 * smoothstep(0.5, 0, x) + 0.10 * smoothstep(length - 0.7, length, x)
        bonnet_crown = 0.045 * across**2.5 * smoothstep(0.6, 1, height_share) * (x < self.windscreen_foot + 0.3)
        z = lerp(bottom, self.shoulder_height(x), height_share) - bonnet_crown
        on_bonnet = (x < self.windscreen_foot) * smoothstep(0, 0.5, x) * smoothstep(0.9, 1, height_share)
        ridge = 0.014 * smoothstep(0.50, 0.58, across) * smoothstep(0.86, 0.74, across)
        z += on_bonnet * (ridge - 0.008 * smoothstep(0.3, 0.0, across))
        taper = 1 - 0.055 * smoothstep(1.1, 0, x) ** 1.6 - 0.06 * smoothstep(length - 1.1, length, x) ** 1.6
        flank_heights = [0, 0.10, 0.17, 0.30, 0.45, 0.66, 0.70, 0.9, 1]
        flank = np.interp(height_share, flank_heights, [0.945, 0.985, 0.988, 0.972, 0.985, 1.0, 0.990, 0.965, 0.945])
        y = unit[:, 1] * self.half_width * taper * flank
        flare = 0.030 if body.plastic_cladding else 0.022
        for axle in self.axles_x:
            distance = np.hypot(x - axle, z - body.wheel_radius)
            near_arch = smoothstep(self.arch_radius + 0.22, self.arch_radius + 0.02, distance)
            y += np.sign(unit[:, 1]) * smoothstep(0.5, 0.9, across) * flare * near_arch
        builder.add(Part.BODY, np.stack([x, y, z], 1), shell.triangles, shell)

    def _add_cabin(self, builder: MeshBuilder) -> None:
        body, length = self.body, self.body.length
        is_van = body.panel_sides
        shell = rounded_box((60, 26, 22), (30, 9, 11))
        unit = shell.points
        height_share, across = (unit[:, 2] + 1) / 2, np.abs(unit[:, 1])
        bulge = 0.035 * np.sin(math.pi * height_share)
        front = lerp(*body.windscreen, height_share) * length + 0.16 * across**2.6 - bulge
        back = lerp(body.rear_screen[1], body.rear_screen[0], height_share) * length - 0.09 * across**3 + 0.85 * bulge
        x = lerp(front, back, (unit[:, 0] + 1) / 2)
        along_roof = np.clip((x / length - body.windscreen[1]) / (body.rear_screen[0] - body.windscreen[1]), 0, 1)
        roof_drop = 0.035 * (1 - along_roof) ** 3 + (0.03 if is_van else 0.07) * along_roof**2.2
        roof = body.height - roof_drop - 0.035 * across**2.2
        z = lerp(self.shoulder_height(x) - 0.10, roof, height_share)
        foot_width = 0.975 if is_van else 0.955
        roof_width = {"van": 0.90, "suv": 0.83, "pickup": 0.83}.get(body.name, 0.81)
        taper = 1 - (0.045 if is_van else 0.05) * smoothstep(length - 1.2, length, x)
        y = unit[:, 1] * self.half_width * lerp(foot_width, roof_width, height_share**1.25) * taper
        builder.add(Part.CABIN, np.stack([x, y, z], 1), shell.triangles, shell)

    def _add_wheels(self, builder: MeshBuilder) -> None:
        radius = self.body.wheel_radius
        tyre = [
            (0.66, -0.20), (0.9, -0.20), (0.985, -0.175), (1, -0.12), (1, -0.06), (0.985, -0.015), (0.93, 0.006),
            (0.82, 0.010), (0.70, 0.0), (0.675, -0.012), (0.66, -0.05),
        ]  # fmt: skip
        rim = [
            (0.685, -0.006), (0.66, -0.004), (0.645, -0.02), (0.60, -0.045), (0.35, -0.030), (0.17, -0.02),
            (0.15, -0.012), (0.001, -0.010),
        ]  # fmt: skip
        for axle in self.axles_x:
            for side in (-1, 1):
                centre = (axle, side * (self.half_width - 0.012), radius)
                for part, profile in ((Part.TYRE, tyre), (Part.RIM, rim)):
                    builder.add(part, *lathe([(share * radius, out) for share, out in profile], centre, side))

    def _add_box(
        self,
        builder: MeshBuilder,
        part: Part,
        centre: tuple[float, float, float],
        half_size: tuple[float, float, float],
        *,
        exponents: tuple[float, float, float] = (6, 6, 6),
        shear: float = 0.0,
    ) -> None:
        """Add a rounded box; `shear` leans its top backwards by that share of the height."""
        shell = rounded_box((6, 6, 6), exponents)
        vertices = shell.points * np.array(half_size) + np.array(centre)
        vertices[:, 0] += shear * (vertices[:, 2] - centre[2])
        builder.add(part, vertices, shell.triangles, shell)

    def _add_interior(self, builder: MeshBuilder) -> None:
        body, length = self.body, self.body.length
        well_half = (length / 2 - 0.25, self.half_width - 0.26, (0.62 - body.floor_height) / 2 + 0.03)
        well_centre = (length / 2, 0.0, (body.floor_height + 0.62) / 2)
        self._add_box(builder, Part.WELL, well_centre, well_half, exponents=(20, 20, 20))
        foot, belt = self.windscreen_foot, float(self.shoulder_height(self.windscreen_foot + 0.3))
        self._add_box(
            builder, Part.DARK, (foot + 0.42, 0, belt - 0.05), (0.30, self.half_width - 0.16, 0.10), exponents=(6, 8, 4)
        )
        for angle in np.linspace(0, 2 * math.pi, 25)[:-1]:  # the steering wheel; the car's left is -y
            up, across = math.sin(angle), math.cos(angle)
            centre = (foot + 0.80 + 0.06 * up, -0.36 + 0.18 * across, belt + 0.03 + 0.17 * up)
            self._add_box(builder, Part.DARK, centre, (0.02, 0.028, 0.02), exponents=(2, 2, 2))
        first_row = body.pillars[0] * length - 0.05
        has_second_row = not body.panel_sides and not body.bed_start
        last = min(body.rear_screen[1] * length, length - 0.1) - 0.25
        for x in [first_row, first_row + 0.87] if has_second_row else [first_row]:
            if x > last:
                continue
            for side in (-1, 1):
                rest_height = min(belt + 0.37, body.height - 0.2)
                self._add_box(
                    builder,
                    Part.SEAT,
                    (x, side * 0.36, belt - 0.05),
                    (0.09, 0.25, 0.33),
                    exponents=(4, 3, 5),
                    shear=0.22,
                )
                self._add_box(
                    builder, Part.SEAT, (x + 0.10, side * 0.36, rest_height), (0.06, 0.14, 0.085), exponents=(3, 3, 3)
                )

    def _add_side_parts(self, builder: MeshBuilder, side: int) -> None:
        body, length = self.body, self.body.length
        belt = float(self.shoulder_height(self.windscreen_foot + 0.3))
        mirror_x = float(lerp(*body.windscreen, 0.42)) * length + 0.12
        self._add_box(
            builder,
            Part.MIRROR,
            (mirror_x, side * (self.half_width + 0.045), belt + 0.06),
            (0.055, 0.115, 0.072),
            exponents=(3, 3.5, 3.5),
            shear=-0.15,
        )
        arm = (mirror_x, side * (self.half_width - 0.06), belt + 0.015)
        self._add_box(builder, Part.DARK, arm, (0.035, 0.06, 0.02))
        doors = [body.pillars[0] * length - 0.13]
        if body.doors_per_side > 1:
            doors.append(min(body.pillars[0] * length + 0.80, self.axles_x[1] + 0.02))
        for x in doors:
            centre = (x, side * (self.half_width * 0.985 + 0.006), float(self.shoulder_height(x)) - 0.155)
            self._add_box(builder, Part.HANDLE, centre, (0.105, 0.018, 0.016), exponents=(4, 3, 3))
        if self.design.roof_rails:
            self._add_roof_rail(builder, side)

    def _add_roof_rail(self, builder: MeshBuilder, side: int) -> None:
        body = self.body
        start, end = (body.windscreen[1] + 0.04) * body.length, (body.rear_screen[0] - 0.02) * body.length
        shell = rounded_box((16, 4, 4), (12, 4, 4))
        half_size = np.array([(end - start) / 2, 0.02, 0.022])
        vertices = shell.points * half_size + np.array(
            [(start + end) / 2, side * self.half_width * 0.72, body.height - 0.035]
        )
        vertices[:, 2] -= 0.055 * np.clip((vertices[:, 0] - start) / (end - start), 0, 1) ** 2.2
        builder.add(Part.TRIM, vertices, shell.triangles, shell)

    def _add_tail_parts(self, builder: MeshBuilder) -> None:
        body, rear = self.body, self.design.rear
        for number in range(rear.exhausts):
            centre = (body.length - 0.16, (-0.58, 0.58)[number] * self.half_width, body.floor_height + 0.115)
            self._add_box(builder, Part.DARK, centre, (0.10, 0.036, 0.024), exponents=(20, 3, 3))
        if not rear.spoiler:
            return
        if body.name == "sedan":
            centre = (body.length - 0.17, 0.0, self.tail_edge + 0.030)
            self._add_box(builder, Part.HANDLE, centre, (0.09, self.half_width * 0.70, 0.014), exponents=(3, 8, 3))
        else:
            centre = (body.rear_screen[0] * body.length - 0.01, 0.0, body.height - 0.095)
            self._add_box(builder, Part.HANDLE, centre, (0.13, self.half_width * 0.66, 0.026), exponents=(3, 8, 3))
