"""The cameras see the cube, whatever the seed, and nothing behind their caps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.contract.transforms import transform_image
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.cameras import CameraRenderer
from vla_rl_nodes.sim.world import World

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * 0.02


def show(renderer: CameraRenderer, world: World) -> None:
    renderer.set_state(*world.named_state())


def red(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    r, g, b = (image[..., channel].astype(int) for channel in range(3))
    return (r > 90) & (r > 2 * g) & (r > 2 * b)


def cube_corners(world: World) -> NDArray[np.float64]:
    position, (qw, _, _, qz) = world.object_pose("cube")
    yaw = 2.0 * np.arctan2(qz, qw)
    c, s = np.cos(yaw), np.sin(yaw)
    corners: NDArray[np.float64] = (
        position + CORNERS @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]).T
    )
    return corners


@pytest.mark.parametrize("camera", ["scene", "wrist"])
def test_cube_lies_in_the_policys_crop_for_every_seed(
    renderer: CameraRenderer, world: World, contract: Contract, camera: str
) -> None:
    stream = next(s for s in contract.streams if s.key == f"image_{camera}")
    crop = stream.transforms[0].crop
    assert crop is not None
    for seed in range(200):
        world.reset(seed)
        show(renderer, world)
        pixels = renderer.project(camera, cube_corners(world))
        low = np.array([crop.x, crop.y]) + 1.0
        high = np.array([crop.x + crop.width, crop.y + crop.height]) - 1.0
        assert (pixels > low).all() and (pixels < high).all(), f"seed {seed}"


@pytest.mark.parametrize("camera", ["scene", "wrist"])
def test_cube_is_drawn_where_it_is_projected(
    renderer: CameraRenderer, world: World, contract: Contract, camera: str
) -> None:
    stream = next(s for s in contract.streams if s.key == f"image_{camera}")
    for seed in range(12):
        world.reset(seed)
        show(renderer, world)
        image = renderer.render(camera)
        assert image.shape == (96, 128, 3) and image.dtype == np.uint8
        rows, columns = np.nonzero(red(image))
        assert len(rows) >= 16, f"seed {seed}: the cube is {len(rows)} pixels"
        middle = renderer.project(camera, world.object_pose("cube")[0][None])[0]
        np.testing.assert_allclose([columns.mean(), rows.mean()], middle, atol=3.0)
        assert red(transform_image(stream, image)).sum() >= 6


def test_image_follows_the_state(renderer: CameraRenderer, world: World) -> None:
    show(renderer, world)
    before = renderer.render("scene")
    world.place_object("cube", np.array([0.45, 0.2, 0.02]), 0.3)
    show(renderer, world)
    assert (renderer.render("scene") != before).any()
    world.reset(0)
    show(renderer, world)
    np.testing.assert_array_equal(renderer.render("scene"), before)


def test_blackout_is_all_zero_and_can_be_ended(renderer: CameraRenderer, world: World) -> None:
    show(renderer, world)
    lit = renderer.render("wrist")
    assert lit.mean() > 50.0
    renderer.blackout = True
    for camera in renderer.names:
        dark = renderer.render(camera)
        assert dark.shape == (96, 128, 3) and not dark.any()
    renderer.blackout = False
    np.testing.assert_array_equal(renderer.render("wrist"), lit)


def test_pictures_for_reports(renderer: CameraRenderer, world: World) -> None:
    show(renderer, world)
    small = renderer.render("scene").astype(float)
    large = renderer.picture("scene")
    assert large.shape == (360, 480, 3)
    assert red(large).sum() > 5 * red(small.astype(np.uint8)).sum()
    assert renderer.picture("wrist", 320, 240).shape == (240, 320, 3)
    np.testing.assert_array_equal(renderer.render("scene"), small)
    with pytest.raises(InputError, match="out of range"):
        renderer.picture("scene", 6400, 4800)


def test_points_behind_a_camera_have_no_pixel(renderer: CameraRenderer, world: World) -> None:
    show(renderer, world)
    assert np.isnan(renderer.project("scene", np.array([[5.0, -5.0, 3.0]]))).all()


def test_unknown_camera_is_refused(renderer: CameraRenderer) -> None:
    for call in (renderer.render, renderer.picture):
        with pytest.raises(InputError, match="use scene, wrist"):
            call("ceiling")


def test_a_state_of_another_scene_is_refused(renderer: CameraRenderer, world: World) -> None:
    names, values = world.named_state()
    with pytest.raises(InputError, match="another robot or scene"):
        renderer.set_state(names[:9], values[:9])
