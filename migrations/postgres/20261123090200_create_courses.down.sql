DROP TABLE course_enrollments;
DROP TABLE courses;
DROP TABLE course_categories;
