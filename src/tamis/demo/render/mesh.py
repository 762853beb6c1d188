"""Triangle meshes: rounded boxes, lathed rings, smooth normals, and a builder that joins parts into one mesh."""

import math
from dataclasses import dataclass

import numpy as np

from tamis.demo.render.numerics import FloatArray, IntArray, normalise

# Vertices are spaced more closely towards the edges of a cube's face, where a rounded box bends.
_EDGE_DENSITY = 0.92


@dataclass(frozen=True, slots=True)
class Shell:
    """A closed surface before it is bent: points on it, where they lay on the cube, the cube's face, triangles."""

    points: FloatArray  # (n, 3) within -1 to 1
    cage: FloatArray  # (n, 3) on the cube
    face: IntArray  # (n,) 0 to 5: -x, +x, -y, +y, -z, +z
    triangles: IntArray  # (m, 3)


@dataclass(frozen=True, slots=True)
class Mesh:
    """Joined parts, with per-vertex normals and per-triangle part numbers."""

    vertices: FloatArray  # (n, 3) metres
    normals: FloatArray  # (n, 3)
    cage: FloatArray  # (n, 3)
    face: IntArray  # (n,)
    triangles: IntArray  # (m, 3)
    part: IntArray  # (m,)


def _quads_to_triangles(corner_grid: IntArray, flip: bool) -> IntArray:
    corners = [corner_grid[:-1, :-1], corner_grid[1:, :-1], corner_grid[1:, 1:], corner_grid[:-1, 1:]]
    first, second, third, fourth = (corner.ravel() for corner in (corners[::-1] if flip else corners))
    return np.concatenate([np.stack([first, second, third], 1), np.stack([first, third, fourth], 1)])


def rounded_box(segments: tuple[int, int, int], exponents: tuple[float, float, float]) -> Shell:
    """Project a cube on the superellipsoid |x|^a + |y|^b + |z|^c = 1 (Barr 1981); larger exponents are boxier."""
    cages, triangles, faces, offset = [], [], [], 0
    for axis in range(3):
        u_axis, v_axis = (axis + 1) % 3, (axis + 2) % 3
        u_line, v_line = (_edge_dense_line(segments[k]) for k in (u_axis, v_axis))
        u_grid, v_grid = np.meshgrid(u_line, v_line, indexing="ij")
        corner_grid = np.arange(u_grid.size).reshape(u_grid.shape)
        for side in (-1, 1):
            cage = np.empty((u_grid.size, 3))
            cage[:, axis], cage[:, u_axis], cage[:, v_axis] = side, u_grid.ravel(), v_grid.ravel()
            cages.append(cage)
            triangles.append(_quads_to_triangles(corner_grid + offset, flip=side < 0))
            faces.append(np.full(u_grid.size, 2 * axis + (side > 0)))
            offset += u_grid.size
    cage = np.concatenate(cages)
    low, high = np.zeros(len(cage)), np.ones(len(cage))
    for _ in range(30):  # bisection along the ray from the centre
        middle = (low + high) / 2
        outside = (np.abs(cage * middle[:, None]) ** np.array(exponents)).sum(1) > 1
        high, low = np.where(outside, middle, high), np.where(outside, low, middle)
    return Shell(cage * low[:, None], cage, np.concatenate(faces), np.concatenate(triangles))


def _edge_dense_line(segments: int) -> FloatArray:
    bend = math.pi / 2 * _EDGE_DENSITY
    return np.asarray(np.sin(np.linspace(-1, 1, segments + 1) * bend) / math.sin(bend))


def vertex_normals(vertices: FloatArray, triangles: IntArray) -> FloatArray:
    """Average the triangles' normals at each place, so that seams between faces stay smooth."""
    _, place = np.unique(np.round(vertices, 5), axis=0, return_inverse=True)
    place = place.ravel()
    first, second, third = (vertices[triangles[:, corner]] for corner in range(3))
    normal = np.cross(second - first, third - first)
    total = np.zeros((int(place.max()) + 1, 3))
    for corner in range(3):
        np.add.at(total, place[triangles[:, corner]], normal)
    return normalise(total)[place]


def lathe(
    profile: list[tuple[float, float]], centre: tuple[float, float, float], side: int, steps: int = 56
) -> tuple[FloatArray, IntArray]:
    """Revolve (radius, outward offset) points about an axle along y; `side` is -1 left or 1 right."""
    angle = np.linspace(0, 2 * math.pi, steps + 1)[:, None]
    radius, outward = np.array(profile).T
    vertices = np.stack(
        [
            centre[0] + radius * np.cos(angle),
            np.broadcast_to(centre[1] + side * outward, (steps + 1, len(radius))),
            centre[2] + radius * np.sin(angle),
        ],
        -1,
    ).reshape(-1, 3)
    grid = np.arange(len(vertices)).reshape(steps + 1, -1)
    return vertices, _quads_to_triangles(grid, flip=side < 0)


class MeshBuilder:
    """Collects parts and joins them."""

    def __init__(self) -> None:
        self._vertices: list[FloatArray] = []
        self._normals: list[FloatArray] = []
        self._cages: list[FloatArray] = []
        self._faces: list[IntArray] = []
        self._triangles: list[IntArray] = []
        self._parts: list[IntArray] = []
        self._count = 0

    def add(self, part: int, vertices: FloatArray, triangles: IntArray, shell: Shell | None = None) -> None:
        """Add a part; a shell gives the cage coordinates that material rules look up."""
        self._vertices.append(vertices)
        self._normals.append(vertex_normals(vertices, triangles))
        self._cages.append(np.zeros_like(vertices) if shell is None else shell.cage)
        self._faces.append(np.zeros(len(vertices), np.int8) if shell is None else shell.face)
        self._triangles.append(triangles + self._count)
        self._parts.append(np.full(len(triangles), part))
        self._count += len(vertices)

    def build(self) -> Mesh:
        """Join all parts into one mesh of 32-bit arrays."""
        return Mesh(
            np.concatenate(self._vertices).astype(np.float32),
            np.concatenate(self._normals).astype(np.float32),
            np.concatenate(self._cages).astype(np.float32),
            np.concatenate(self._faces).astype(np.int8),
            np.concatenate(self._triangles).astype(np.int32),
            np.concatenate(self._parts).astype(np.int8),
        )
