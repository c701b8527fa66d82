"""What capture can be told."""

from typing import Literal

from pydantic import Field

from shared.settings import EdgeSettings


class CaptureSettings(EdgeSettings):
    """Settings of the capture service."""

    source: str = Field(
        default="sample",
        min_length=1,
        max_length=2048,
        repr=False,  # may carry a camera's password
        description="where frames come from: a camera (0, /dev/video0), a video file, a folder of pictures, an rtsp:// "
        "or http(s):// address, gst:PIPELINE (gst-launch-1.0, making JPEGs), sample, or browser (what the page Camera "
        "of the web service sends)",
    )
    pace: Literal["realtime", "fast"] = Field(
        default="realtime",
        description="how a file or folder is played: realtime, or as fast as the classifier takes it",
    )
    loop: bool = Field(default=False, description="play a file or folder again and again; the sample always is")
    width: int = Field(default=1280, ge=16, le=7680, description="picture width asked of a camera, pixels")
    height: int = Field(default=720, ge=16, le=4320, description="picture height asked of a camera, pixels")
    fps: float = Field(
        default=15.0, gt=0, le=240, description="frames per second asked of a camera; pace of a folder of pictures"
    )
    max_width: int = Field(
        default=1280, ge=64, le=4096, description="frames that have to be encoded here are scaled down to this width"
    )
    jpeg_quality: int = Field(default=85, ge=1, le=100, description="JPEG quality of frames that are encoded here")
    stall_s: float = Field(
        default=5.0, ge=0.2, le=3600, description="seconds without a frame after which a source is opened again"
    )
    open_s: float = Field(default=15.0, ge=0.2, le=3600, description="seconds that a source may take to open")
