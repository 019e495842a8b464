// The camera as a source of images.

/** Return the stream of the camera; raise an Error that says what to do if there is none. */
export async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give the camera to pages on https or localhost only.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } },
    });
  } catch (error) {
    throw new Error(explain(error));
  }
}

export function closeCamera(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function explain(error) {
  if (error.name === "NotAllowedError") {
    return "The camera was not allowed: allow it for this page in the browser, or choose an image.";
  }
  if (error.name === "NotFoundError") return "No camera was found: choose an image instead.";
  return `The camera could not be started (${error.message.replace(/[.\s]+$/, "")}).`;
}
