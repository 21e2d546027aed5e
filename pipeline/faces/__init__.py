"""Faces: from frames to detections, tracks, aligned crops and the choice of one person; pure functions on arrays.

``mtcnn`` detects, ``shots`` says where to look, ``tracking`` joins detections into tracks, ``alignment`` cuts crops,
``choice`` picks the face that an extractor follows.
"""

#: Frames a second of the grid that faces are sought on: that of torchvision's video networks.
RATE_HZ = 15.0

#: One row of the ``faces`` feature: a face in a frame; pixels of the upright source picture.
COLUMNS = ("track", "x1", "y1", "x2", "y2", "probability", "left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y",
           "nose_x", "nose_y", "mouth_left_x", "mouth_left_y", "mouth_right_x", "mouth_right_y")

#: One row of the ``speaking`` feature, which has a row for each row of ``faces``, in the same order and at the same
#: times: how sure it is that this face speaks there, 0 to 1; from 0.5 on it does.
SPEAKING_COLUMNS = ("track", "x1", "y1", "x2", "y2", "speaking")
