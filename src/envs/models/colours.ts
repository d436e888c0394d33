/** Colours of bodies in pictures, as MJCF writes them: red, green, blue, opacity. */

export const bodyColour = [0.87, 0.6, 0.34, 1];
/** Legs, so that one tells them apart. */
export const nearLegColour = [0.8, 0.36, 0.28, 1];
export const farLegColour = [0.36, 0.5, 0.72, 1];
export const floorColour = [0.62, 0.68, 0.72, 1];
