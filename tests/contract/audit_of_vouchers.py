"""What staff do with the images of vouchers, each once, and what the audit list has of it."""

from __future__ import annotations

import io

from google.api import httpbody_pb2
from PIL import Image
from scrip.vouchers.v1 import image_pb2, image_pb2_grpc

from tests.contract.audit_of_promos import Admin, Done


async def change_images(admin: Admin, voucher_id: str) -> Done:
    """Returns what was done, and to what."""
    stub = image_pb2_grpc.ImageServiceStub(admin.platform.channels["vouchers"])
    ids: list[str] = []
    for colour in ("red", "blue"):
        out = io.BytesIO()
        Image.new("RGB", (4, 4), colour).save(out, "PNG")
        sent = httpbody_pb2.HttpBody(data=out.getvalue())
        upload = image_pb2.UploadVoucherImageRequest(voucher_id=voucher_id, image=sent)
        reply = await admin.call(stub, "ImageService", upload)
        ids = [image.id for image in reply.voucher.images]
    ids.reverse()
    reorder = image_pb2.ReorderVoucherImagesRequest(voucher_id=voucher_id, image_ids=ids)
    await admin.call(stub, "ImageService", reorder)
    delete = image_pb2.DeleteVoucherImageRequest(voucher_id=voucher_id, image_id=ids[0])
    await admin.call(stub, "ImageService", delete)
    done = ("image_added", "image_added", "images_reordered", "image_deleted")
    return [(f"voucher.{what}", voucher_id) for what in done]
