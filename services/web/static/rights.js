// What the person who looks may do; the server decides it again with each request.

const rights = new Set(document.body.dataset.rights.split(" "));

/** Whether devices may be paused and told what to do. */
export const mayChangeDevices = rights.has("research");
