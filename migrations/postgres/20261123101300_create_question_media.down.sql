DROP FUNCTION unused_media(text[]);
DROP TABLE question_media;
